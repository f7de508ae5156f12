"""The script for web pages, in a real Chromium, on pages of another origin than the collector's."""
