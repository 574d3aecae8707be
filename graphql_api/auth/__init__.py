"""Who is asking: from the headers of a request to the Better Auth user behind it.

Better Auth's tables are read here and in `users`, and never written. Facts are those of Better Auth 1.3 to 1.7.
"""
