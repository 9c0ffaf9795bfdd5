"""The version: hatchling reads it here, and the release workflow writes it here."""

__version__ = "0.1.0"
