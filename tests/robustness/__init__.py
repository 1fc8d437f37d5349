"""Podium broken on purpose, part by part, and what came of it counted (docs/reliability.md)."""
