"""The rows, by room: each function takes `Settings` and returns what it measured."""
