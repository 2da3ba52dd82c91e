"""The HTTP edge of the rooms API, one module per resource."""
