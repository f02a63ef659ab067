"""What a caller can get: result formats, and what they are made of."""
