"""Foyer: a serverless control plane for real-time conferences."""
