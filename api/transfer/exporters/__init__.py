"""Back into the layouts of other stores, as their own writers make them, so that nobody is locked in."""
