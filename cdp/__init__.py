"""The ground every wing stands on: settings, records, the log, state, the warehouse, the command line."""

__version__ = "0.1.0"
