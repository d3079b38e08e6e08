"""Parts of long lists: pages, each with a cursor to the next, and lists that are read whole."""
