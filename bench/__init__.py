"""Benchmarks: what Recount costs, measured beside something known, in one run on one server."""
