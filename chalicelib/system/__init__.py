"""Foyer's own routes: is it alive, is it ready, what does it offer."""
