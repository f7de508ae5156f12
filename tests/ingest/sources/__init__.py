"""Tests of the pure readers of events."""
