"""Every call the master answers, who may make it, and the socket it comes through."""
