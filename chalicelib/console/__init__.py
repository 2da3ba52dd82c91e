"""The operators' console: files that browsers take as they are, and that ask the operators' API."""
