"""The API: one closed table of calls, who may make them, and the Unix socket they come by."""
