"""The common parts of the benchmarks: cases, candidates, checks, clocks and reports."""
