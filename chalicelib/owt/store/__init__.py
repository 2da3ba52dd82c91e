"""The rows of the management API and their conditional writes."""
