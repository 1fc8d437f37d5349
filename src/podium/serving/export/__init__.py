"""A run's networks in the formats of other tools."""
