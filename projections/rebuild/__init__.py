"""Rebuilds of the views from the log, beside those in use."""
