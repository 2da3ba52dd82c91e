"""The settings of who is told of commands, and of mapped streams."""
