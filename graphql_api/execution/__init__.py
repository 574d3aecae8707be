"""The compiled executor: a document becomes Python once, and then only runs. Knows GraphQL, nothing of tasks.

Read `plans` (what a plan is), `compiler` and `text` (how it is built), `executor` (how it runs). Beside them, each with
one subject: `variables`, `arguments`, `coercion`, `inputs`, `resolvers`, `completion`, `many`, `run`, `waiting`,
`promises` and `values`.
"""
