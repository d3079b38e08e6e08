"""Flowise's JSON shapes: chat messages, feedback, the export, and predictions."""
