"""The minion: a light daemon that carries out what the master signed."""
