"""What `stackmaster exec` can call on a minion: one module a family, each function with its access class."""
