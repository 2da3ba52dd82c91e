"""The ASGI front: API Gateway's shapes around the same handlers, for local runs, tests and self-hosting."""
