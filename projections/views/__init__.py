"""The core views, one module each, written in the transaction that appends."""
