"""The operator's command line, `foyer`.  Nothing of the product imports it."""
