"""The snippet for web pages."""
