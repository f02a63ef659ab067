"""A NeuroVault server on loopback, with faults on request."""
