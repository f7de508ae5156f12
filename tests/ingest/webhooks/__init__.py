"""Tests of webhooks. Recorded-shape payloads are in `cases/`, one file a preset."""
