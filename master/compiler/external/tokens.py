"""Tokens and passwords that lie in files: read when needed, refused when others can read them."""

from __future__ import annotations

import stat
from pathlib import Path

from protocol.errors import SlsError
from protocol.secrets import Secret

_LONGEST = 8192


def first_line(path: Path) -> str:
    """The first line of `path`, as it is used. Raises SlsError, also when others than owner and group can read it."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o007:
            raise SlsError(f"{path} is open to everybody", help=f"chmod 0600 {path}")
        with path.open("r", encoding="utf-8") as file:
            line = file.readline(_LONGEST).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SlsError(f"{path} cannot be read: {error}") from None
    if not line or not line.isprintable():
        raise SlsError(f"{path} holds no token in its first line")
    return Secret(line).reveal()
