"""What the benchmarks share: cases, candidates, the check before the clock, clocks, reports."""
