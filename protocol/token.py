"""The join token: one string with the master's addresses, its key and a secret for one-time enrolment."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import ClassVar

from protocol import codec
from protocol.errors import DecodeError, InputError
from protocol.identity import PublicIdentity

_PREFIX = "sm1-"


@dataclass(frozen=True, slots=True)
class JoinToken:
    """What `stackminion join` needs. `addresses` are hosts or host:port of the enrolment door."""

    KIND: ClassVar[str] = "join-token"

    addresses: tuple[str, ...]
    signing: bytes
    curve: str
    secret: str

    @property
    def master(self) -> PublicIdentity:
        """The master to pin."""
        return PublicIdentity(self.signing, self.curve)

    def text(self) -> str:
        """One word that can be pasted into a shell."""
        return _PREFIX + base64.urlsafe_b64encode(codec.encode(self)).decode("ascii").rstrip("=")


_TOKENS = codec.table(JoinToken)
_HELP = "copy the whole line that `stackmaster keys token` printed"


def read_token(text: str) -> JoinToken:
    """The token in `text`. Raises InputError when it is none."""
    text = text.strip()
    if not text.startswith(_PREFIX):
        raise InputError("this is not a join token", help=_HELP)
    body = text.removeprefix(_PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        token = codec.decode(raw, _TOKENS)
    except (binascii.Error, ValueError, DecodeError):
        raise InputError("the join token is damaged", help=_HELP) from None
    if not token.addresses or len(token.signing) != 32 or len(token.curve) != 40:
        raise InputError("the join token is damaged", help=_HELP)
    return token
