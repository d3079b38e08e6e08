"""How it is recorded: the log on PostgreSQL. Never learns about views or HTTP."""
