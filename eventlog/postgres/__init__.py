"""PostgreSQL: connections, schema, named statements, and the embedded server."""
