"""The commands: the requests that the store takes, each with the decision it leads to."""
