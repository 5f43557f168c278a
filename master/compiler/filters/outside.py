"""Filters whose result is not made of their arguments alone: chance, the clock, and files of the minion."""

from __future__ import annotations

import hashlib
import os
import random
import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol


class Outside(Protocol):
    """What such filters may do; each use is known to who keeps results."""

    def ask(self, function: str, *args: Any, **kwargs: Any) -> Any:
        """What the minion answers to a call of `function`. Raises SlsError."""
        ...

    def once(self) -> None:
        """What is made now is true once only: no other rendering may take it over."""
        ...


def outside_filters(outside: Outside) -> Mapping[str, Callable[..., Any]]:
    """The filters, by the name that a template uses."""
    return {name: call(outside) for name, call in _MADE.items()}


def cast_date(value: Any) -> datetime:
    """The moment that a number of seconds (or text of one) or a date in ISO form means. Raises ValueError."""
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromtimestamp(float(value))
    except (TypeError, ValueError):
        return datetime.fromisoformat(str(value))


def sample(values: Sequence[Any], size: int, seed: Any) -> list[Any]:
    """`size` of `values`; of one `seed` (text or number) the same ones, always and everywhere."""
    return random.Random(str(seed)).sample(values, size)


def _strftime(outside: Outside) -> Callable[..., str]:
    def strftime(date: Any = None, format: str = "%Y-%m-%d") -> str:
        if date is None or date == "":
            outside.once()
            return datetime.now().strftime(format)
        return cast_date(date).strftime(format)

    return strftime


def _random_hash(outside: Outside) -> Callable[..., str]:
    def random_hash(size: int = 9_999_999_999, hash_type: str | None = None) -> str:
        outside.once()
        number = str(secrets.randbelow(int(size) + 1)).encode()
        return hashlib.new(hash_type or "md5", number, usedforsecurity=False).hexdigest()

    return random_hash


def _random_str(outside: Outside) -> Callable[..., str]:
    def random_str(size: int = 32) -> str:
        outside.once()
        return b64encode(os.urandom(int(size))).decode("ascii")[: int(size)]

    return random_str


def _random_sample(outside: Outside) -> Callable[..., list[Any]]:
    def random_sample(values: Sequence[Any], size: int, seed: Any = None) -> list[Any]:
        if seed is None:
            outside.once()
        return sample(values, size, secrets.token_hex() if seed is None else seed)

    return random_sample


def _random_shuffle(outside: Outside) -> Callable[..., list[Any]]:
    choose = _random_sample(outside)
    return lambda values, seed=None: choose(values, len(values), seed)


def _gen_mac(outside: Outside) -> Callable[..., str]:
    def gen_mac(prefix: str = "AC:DE:48") -> str:
        outside.once()
        return ":".join([prefix, *(f"{byte:02X}" for byte in os.urandom(3))])

    return gen_mac


def _asked(function: str, pick: Callable[[Any], Any] = lambda found: found) -> Callable[[Outside], Callable[..., Any]]:
    """A filter that is a question to the minion."""

    def made(outside: Outside) -> Callable[..., Any]:
        return lambda value, *args, **kwargs: pick(outside.ask(function, value, *args, **kwargs))

    return made


def _is_empty(outside: Outside) -> Callable[[str], bool]:
    def is_empty(path: str) -> bool:
        return bool(outside.ask("file.file_exists", path)) and outside.ask("file.stats", path)["size"] == 0

    return is_empty


def _is_text(outside: Outside) -> Callable[[str], bool]:
    """Salt's rule: no NUL, and at most three in ten bytes of the first block are no text."""

    def is_text(path: str) -> bool:
        block = bytes(outside.ask("file.read", path, binary=True)[:512])
        odd = sum(1 for byte in block if byte > 126 or (byte < 32 and byte not in b"\n\r\t\f\b"))
        return b"\0" not in block and odd <= 0.3 * len(block)

    return is_text


def _is_bin(outside: Outside) -> Callable[[str], bool]:
    is_text = _is_text(outside)
    return lambda path: bool(outside.ask("file.file_exists", path)) and not is_text(path)


_MADE: Final[Mapping[str, Callable[[Outside], Callable[..., Any]]]] = {
    "strftime": _strftime,
    "date_format": _strftime,
    "random_hash": _random_hash,
    "rand_str": _random_hash,
    "random_str": _random_str,
    "random_sample": _random_sample,
    "random_shuffle": _random_shuffle,
    "gen_mac": _gen_mac,
    "which": _asked("cmd.which"),
    "list_files": _asked("file.find"),
    "file_hashsum": _asked("file.get_hash"),
    "is_empty": _is_empty,
    "is_text_file": _is_text,
    "is_bin_file": _is_bin,
    "get_uid": _asked("user.info", lambda found: found.get("uid") if found else None),
    "dns_check": _asked("network.dns_check"),
    "http_query": _asked("http.query"),
}

NAMES: Final = frozenset(_MADE)
"""The names of these filters."""
