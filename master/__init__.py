"""The master: who is here, what they are to do, and what became of it."""

__version__ = "0.1.0"
