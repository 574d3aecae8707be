"""The compiled executor: a document becomes Python once, and then only runs. Knows GraphQL, nothing of tasks.

Read `plans` (what a plan is; its words are explained in `run` and `values`), `compiler` and `text` (how it is built),
`executor` (how it runs). Beside them, each with one subject: `completion` of values; `promises` and `waiting` for them;
`loops` and `many`, for long lists; `variables`, `arguments` and `coercion`, for what a request sends; `resolvers` and
`conversion`, for what Strawberry puts around them.
"""
