"""LangMem's JSON shapes: request bodies, response objects, and messages, which are both."""
