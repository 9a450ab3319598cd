"""Implementations of the whole generator, where their time goes, and the report."""
