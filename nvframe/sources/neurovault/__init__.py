"""NeuroVault: source, default terms, and Neurosynth's words."""
