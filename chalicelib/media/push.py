"""Tells webhooks of commands, in the order of each room."""
