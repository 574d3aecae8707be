"""The tasks of Better Auth users, over GraphQL.

A request walks down through the rooms once, and values come back up:

http > schema > viewer > tasks > users > context > operations > relay > auth > database

Events come up another way: `events` hears that there are some, and lets those who follow read them. `app` wires the
rooms, `cli` starts it, `migrations` brings a database up to date, `dev` is for development only; `errors`,
`scalars`, `telemetry` and `settings` are what all rooms stand on. The README has the whole map.
"""

__version__ = "0.1.0"
