"""Built-in metadata sources."""
