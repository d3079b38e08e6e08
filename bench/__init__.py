"""Benchmarks, which measure Recount beside something known, in one run on one server."""
