"""The image processors that come with nvframe."""
