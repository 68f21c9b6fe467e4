"""Segue: voice calls that carry on to the next network without a pause, and without being less safe there."""

__version__ = "0.1.0"
