"""Exports into the layouts of other stores, exactly as their own writers make them."""
