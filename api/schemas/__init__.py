"""The JSON shapes of the native API, below HTTP and the command line."""
