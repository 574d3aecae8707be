"""Tasks: their table, what may be asked of it and done to it, and how the graph shows them.

No other room may select from the table or write to it.
"""
