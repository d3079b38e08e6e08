"""Followers of the log, each with a checkpoint of its own."""
