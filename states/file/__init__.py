"""Files, directories and links: the family `file`."""

from states.file import block, comment, directory, lines, managed, move, presence, recurse, replace, symlink

__all__ = ["block", "comment", "directory", "lines", "managed", "move", "presence", "recurse", "replace", "symlink"]
