"""Implementations of ``warp_fuse``, the check before the clock, the times, and their report."""
