"""Zarr: maps as one array, written in whole shards, grown, and opened again."""
