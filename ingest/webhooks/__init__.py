"""Webhooks of other platforms → events: signatures, mappings and ready-made presets, all of them data."""
