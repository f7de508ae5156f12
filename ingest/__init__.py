"""Where events come in: the collector, write keys, quarantine, and the snippet for web pages."""
