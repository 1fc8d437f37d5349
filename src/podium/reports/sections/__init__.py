"""The sections of a report, a module for each kind."""
