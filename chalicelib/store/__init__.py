"""DynamoDB: one table, single-item conditional writes."""
