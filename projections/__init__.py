"""How it is read: the views, one module each, and the queries on them. Never learns about HTTP."""
