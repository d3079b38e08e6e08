"""Langflow's JSON shapes: messages, content blocks, and runs."""
