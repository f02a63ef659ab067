"""Concurrency: a bounded, ordered window of tasks, any executor, and reading ahead."""
