"""Rows of the rooms API and the writes that decide its races."""
