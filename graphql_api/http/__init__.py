"""The edge: HTTP in, HTTP out. What an operation means is decided further down."""
