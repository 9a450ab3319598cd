"""One unattended day on a GPU: what `benchmarks/gpu_day.py` runs, how, and what it reports."""
