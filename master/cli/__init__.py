"""The command line: how a person asks and sees."""
