"""The log itself: recorded, read back, in order, followed, erased."""
