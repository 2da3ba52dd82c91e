"""What is owed to the outside: a row says what, a message kicks a worker, the sweep finds what was missed."""
