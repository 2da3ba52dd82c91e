"""What a media worker can do."""
