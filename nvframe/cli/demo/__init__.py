"""The command `nvframe demo`, and the picture that it draws."""
