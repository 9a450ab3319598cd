"""Many images at once: a table of jobs in, a folder of images and a log of results out."""

from rfwarp.jobs.runner import Summary, run_jobs
from rfwarp.jobs.table import Job, read_table

__all__ = ["Job", "Summary", "read_table", "run_jobs"]
