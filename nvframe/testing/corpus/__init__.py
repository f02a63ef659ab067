"""Made-up collections of brain maps."""
