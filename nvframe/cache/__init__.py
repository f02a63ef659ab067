"""The cache: what storage already holds, in nilearn's layout."""
