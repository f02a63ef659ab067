"""The commands `nvframe plugins`, `plugins check` and `plugins new`."""
