"""The HTTP edge: request contexts, middleware, problems, OpenAPI, and the native routes."""
