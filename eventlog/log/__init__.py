"""The log itself: recording, reading back, order, following and erasure."""
