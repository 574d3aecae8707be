"""Global ids, cursors and pages, as Relay's specifications have them. Knows no tasks.

Sources: the GraphQL Global Object Identification and Cursor Connections specifications.
"""
