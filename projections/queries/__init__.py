"""Queries on the views and on the log."""
