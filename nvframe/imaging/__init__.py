"""Images as bytes, on grids, and from one grid to another."""
