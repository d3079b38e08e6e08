"""Import and export of conversations: in chat format, and from and to the stores of other programs."""
