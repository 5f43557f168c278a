"""Which values of a pillar are secret: by the words of their key, and by what they look like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from protocol.data import Data
from protocol.secrets import Scrubber, Secret

SECRET_WORDS: Final = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "key",
    "apikey",
    "privkey",
    "keyring",
    "credential",
    "credentials",
)
"""A key with one of these among its words (`admin_password`, `rgw-secret`, `privateKey`) holds a secret."""

_HARMLESS: Final = frozenset({"public", "pub", "no", "without"})
_ABOUT: Final = frozenset(
    {"url", "uri", "file", "files", "path", "dir", "directory", "name", "names", "id", "ids", "server", "type", "size"}
    | {
        "types",
        "length",
        "bits",
        "algorithm",
        "lifetime",
        "expiration",
        "timeout",
        "enabled",
        "format",
        "owner",
        "user",
    }
    | {"group", "mode", "rotation", "version", "policy", "fingerprint", "source", "hash"}
)
"""A key that ends in one of these says something about a secret: `password_file`, `key_url`."""

_SHORTEST = 4
"""A text or number shorter than this that a secret source gives would hide innocent ones of the same value."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_LOOKS = Scrubber()


class SecretWords:
    """Tells secrets by `words`, compared without regard to case; each value that is one of `given` is secret too."""

    def __init__(self, words: Iterable[str] = SECRET_WORDS, given: Iterable[str] = ()) -> None:
        self._given = set(given)
        self._words = frozenset(word.lower() for word in words)
        self._plural = frozenset(word + "s" for word in self._words)

    def learn(self, data: Any) -> None:
        """Take every text and number in `data` for a secret wherever it is met; short ones and truths are not."""
        if isinstance(data, Mapping):
            for value in data.values():
                self.learn(value)
        elif isinstance(data, list | tuple):
            for value in data:
                self.learn(value)
        elif isinstance(data, str | int | float) and not isinstance(data, bool) and len(str(data)) >= _SHORTEST:
            self._given.add(str(data))

    def names_secret(self, key: str) -> bool:
        """Whether a value under `key` is secret."""
        words = _words(key)
        if not words or words[-1] in _ABOUT or _HARMLESS & set(words):
            return False
        return bool(self._words & set(words))

    def marked(self, value: Any, key: str = "", inside: bool = False) -> Data:
        """A copy of `value` (found under `key`) with string keys, in which every secret is a Secret."""
        if isinstance(value, Mapping):
            inner = inside or self._names_many(key)
            return {str(name): self.marked(item, str(name), inner) for name, item in value.items()}
        if isinstance(value, list | tuple):
            many = inside or self._names_many(key)
            return [self.marked(item, key, many) for item in value]
        secret = inside or self.names_secret(key)
        if isinstance(value, str):
            hidden = secret or isinstance(value, Secret) or value in self._given or looks_secret(value)
            return Secret(value) if value and hidden else value
        if isinstance(value, int | float) and not isinstance(value, bool) and (secret or str(value) in self._given):
            return Secret(str(value))
        plain: Data = value
        return plain

    def _names_many(self, key: str) -> bool:
        words = _words(key)
        return bool(words) and words[-1] in self._plural and not _HARMLESS & set(words)


def looks_secret(value: str) -> bool:
    """Whether `value` holds a cephx key or a private key."""
    return _LOOKS.text(value) != value


def _words(key: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(key)]
