"""The minion: a light daemon that carries out what the master signed."""

__version__ = "0.1.0"
