"""What a caller of the management API can do: one module a resource."""
