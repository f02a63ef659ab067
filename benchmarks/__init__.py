"""nvframe beside nilearn: one row per workload of the performance table; run ``python -m benchmarks``."""
