"""The ways to reach Recount: the application where everything is wired, the routes, and the command line."""
