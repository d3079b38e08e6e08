"""Recount, an event-sourced memory store for conversations."""
