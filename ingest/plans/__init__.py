"""Tracking plans: what a source's events should look like, and what becomes of those that do not."""
