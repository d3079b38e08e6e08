"""The recording of events: the log on PostgreSQL. It never learns about views or HTTP."""
