"""Tests of what is added to events."""
