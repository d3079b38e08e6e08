"""How it is reached: the one place where things are wired, the routes, and the command line."""
