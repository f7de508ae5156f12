"""The HTTP routes of this wing, beside what the collector answers itself. Thin: the modules they call do the work."""
