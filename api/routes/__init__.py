"""The native API, /v1: one module per noun."""
