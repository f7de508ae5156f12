"""Bytes → events: one module per kind of source, pure."""
