"""What an operator sees of the running server. Nothing here knows what the server is about."""
