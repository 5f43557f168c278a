"""OpenPGP messages in pillar: found in what was read, and decrypted by gpg with the keyring of the master."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from master.compiler.yaml import List, Map
from protocol.errors import SlsError

MESSAGE: Final = re.compile(r"-----BEGIN PGP MESSAGE-----.*?-----END PGP MESSAGE-----", re.DOTALL)
DEADLINE: Final = 20.0
"""Seconds that gpg may take for one message."""
MOST: Final = 1024 * 1024
"""Characters of one message."""

Decrypt = Callable[[str], str]


def decrypted(data: Any, decrypt: Decrypt, found: Callable[[str], None]) -> Any:
    """A copy of `data` in which messages are replaced by their text; each text with one in it is told to `found`."""
    if isinstance(data, str):
        text, count = MESSAGE.subn(lambda message: decrypt(message[0]), data)
        if not count:
            return data
        text = text.rstrip("\n")
        found(text)
        return text
    if isinstance(data, Map):
        made = Map(data.line)
        made.lines.update(data.lines)
        for key, value in data.items():
            made[key] = decrypted(value, decrypt, found)
        return made
    if isinstance(data, List):
        listed = List(data.line)
        listed.lines.extend(data.lines)
        listed.extend(decrypted(item, decrypt, found) for item in data)
        return listed
    return data


def command(keyring: Path) -> list[str]:
    """The command that decrypts its standard input with the keys in the folder `keyring`."""
    return ["gpg", "--homedir", str(keyring), "--batch", "--no-tty", "--quiet", "--status-fd", "2", "--decrypt"]


def refusal(status: int, told: str) -> SlsError:
    """Why gpg did not decrypt, of what it told (which holds no secret)."""
    lines = [line for line in told.splitlines() if line and not line.startswith("[GNUPG:]")]
    reason = lines[-1].removeprefix("gpg: ")[:200] if lines else f"exit status {status}"
    help = "is the secret key in the keyring that gpg_keyring names, without a passphrase?"
    return SlsError(f"a PGP message cannot be decrypted: {reason}", help=help)


def decrypt_here(keyring: Path | None, message: str) -> str:
    """The text in `message`, by gpg on this host. Raises SlsError."""
    if keyring is None:
        raise SlsError("a PGP message cannot be decrypted: no keyring is set", help="set gpg_keyring to its folder")
    if len(message) > MOST:
        raise SlsError(f"a PGP message is longer than {MOST} characters")
    try:
        done = subprocess.run(
            command(keyring), input=message.encode(), capture_output=True, timeout=DEADLINE, check=False
        )
    except FileNotFoundError:
        raise SlsError("a PGP message cannot be decrypted: there is no gpg", help="apt install gnupg") from None
    except subprocess.TimeoutExpired:
        raise SlsError(f"gpg took more than {DEADLINE:g} s to decrypt a message") from None
    if done.returncode != 0:
        raise refusal(done.returncode, done.stderr.decode("utf-8", "replace"))
    return done.stdout.decode("utf-8", "replace")
