"""Selection: which images a query asks for. It runs on the caller's thread only."""
