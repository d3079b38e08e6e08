"""Conversations in and out: chat format, and the stores of other programs."""
