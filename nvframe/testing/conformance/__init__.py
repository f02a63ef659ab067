"""The conformance kit: what a plugin must do, as tests that its author inherits."""
