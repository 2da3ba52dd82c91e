"""The HTTP edge of the management API: one module a resource."""
