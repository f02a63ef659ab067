"""The worker: what is done with one image. It runs in a thread or another process, and never plans."""
