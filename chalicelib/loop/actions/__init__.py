"""What callers do, one function for each thing they can do."""
