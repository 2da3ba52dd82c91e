"""What operators ask for, by subject."""
