"""Filters on text: regular expressions, case, numbers in words, encodings."""

from __future__ import annotations

import base64
import re
import shlex
import uuid
from collections.abc import Callable, Hashable, Mapping
from fnmatch import fnmatch
from typing import Any, Final

_UNITS: Final = "bkmgtpezy"
_NAMESPACE: Final = uuid.UUID("91633ebf-1c86-5e33-935a-28061f4b480e")


def to_bool(value: Any) -> bool:
    """Salt's idea of truth: true, yes, 1, a positive whole number, a container that holds something."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.lower() in ("yes", "1", "true")
    if isinstance(value, int):
        return value > 0
    return not isinstance(value, Hashable) and len(value) > 0


def _flags(ignorecase: bool, multiline: bool) -> re.RegexFlag:
    return (re.IGNORECASE if ignorecase else re.NOFLAG) | (re.MULTILINE if multiline else re.NOFLAG)


def regex_search(text: str, pattern: str, ignorecase: bool = False, multiline: bool = False) -> tuple[Any, ...] | None:
    """The groups (without any: the whole) of the first place where `pattern` is found, or None."""
    return _groups(re.search(pattern, text, _flags(ignorecase, multiline)))


def regex_match(text: str, pattern: str, ignorecase: bool = False, multiline: bool = False) -> tuple[Any, ...] | None:
    """The groups (without any: the whole) of `pattern` at the beginning of `text`, or None."""
    return _groups(re.match(pattern, text, _flags(ignorecase, multiline)))


def regex_replace(text: str, pattern: str, by: str, ignorecase: bool = False, multiline: bool = False) -> str:
    """`text` with every match of `pattern` replaced."""
    return re.sub(pattern, by, text, flags=_flags(ignorecase, multiline))


def _groups(found: re.Match[str] | None) -> tuple[Any, ...] | None:
    return None if found is None else found.groups() or (found.group(),)


def to_num(text: Any) -> Any:
    """A whole number, else a number with a fraction, else the text itself."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def human_to_bytes(size: Any, default_unit: str = "B", handle_metric: bool = False) -> int:
    """Bytes of `2G`, `1.5 KiB`, `10 MB` (powers of 1000 with `handle_metric`); 0 for what is no size."""
    found = re.match(r"([0-9.]*)\s*(.*)$", str(size).strip())
    number, unit = (found[1], found[2].lower() or default_unit.lower()) if found else ("", "")
    value = to_num(number)
    if isinstance(value, str):
        return 0
    if re.match(r"[kmgtpezy]b$", unit):
        return int(value * (1000 if handle_metric else 1024) ** _UNITS.index(unit[0]))
    if re.match(r"(b|[kmgtpezy](ib)?)$", unit):
        return int(value * 1024 ** _UNITS.index(unit[0]))
    return 0


def is_hex(value: Any) -> bool:
    """Whether the text is a number in hexadecimal digits."""
    try:
        int(value, 16)
    except (TypeError, ValueError):
        return False
    return True


def to_snake_case(text: str) -> str:
    """`camelCase` as `camel_case`."""
    made = text[0].lower()
    for at, letter in enumerate(text[1:], 1):
        behind = at != len(text) - 1 and text[at + 1].islower()
        made += ("_" if letter.isupper() and (text[at - 1].islower() or behind) else "") + letter.lower()
    return made


def to_camelcase(text: str, uppercamel: bool = False) -> str:
    """`snake_case` as `snakeCase`, or with `uppercamel` as `SnakeCase`."""
    first, *rest = text.split("_")
    return (first.capitalize() if uppercamel else first) + "".join(word.capitalize() for word in rest)


def check_whitelist_blacklist(value: str, whitelist: Any = None, blacklist: Any = None) -> bool:
    """Whether `value` fits a glob or whole regular expression of `whitelist`, and none of `blacklist`."""
    allowed, refused = _listed(whitelist), _listed(blacklist)
    if any(_fits(value, pattern) for pattern in refused):
        return False
    return not allowed or any(_fits(value, pattern) for pattern in allowed)


def _listed(patterns: Any) -> list[str]:
    if not patterns:
        return []
    return [patterns] if isinstance(patterns, str) else list(patterns)


def _fits(value: str, pattern: str) -> bool:
    if fnmatch(value, pattern):
        return True
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return False


def to_bytes(value: Any, encoding: Any = None, errors: str = "strict") -> bytes:
    """Text as bytes of the first of the encodings that can hold it (UTF-8). Raises TypeError, UnicodeEncodeError."""
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if not isinstance(value, str):
        raise TypeError(f"only text can be bytes, not a value of type {type(value).__name__}")
    encodings = encoding if isinstance(encoding, list | tuple) else [encoding or "utf-8"]
    for name in encodings[:-1]:
        try:
            return value.encode(name, errors)
        except UnicodeEncodeError:
            continue
    return value.encode(encodings[-1], errors)


def base64_encode(value: Any) -> str:
    """Base64 of text or bytes."""
    return base64.b64encode(to_bytes(value)).decode("ascii")


def base64_decode(value: Any) -> Any:
    """The text (when it is none, the bytes) in base64."""
    decoded = base64.b64decode(to_bytes(value))
    try:
        return decoded.decode("utf-8")
    except UnicodeDecodeError:
        return decoded


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "to_bool": to_bool,
    "quote": shlex.quote,
    "regex_search": regex_search,
    "regex_match": regex_match,
    "regex_replace": regex_replace,
    "regex_escape": re.escape,
    "uuid": lambda value: str(uuid.uuid5(_NAMESPACE, str(value))),
    "to_num": to_num,
    "str_to_num": to_num,
    "is_hex": is_hex,
    "human_to_bytes": human_to_bytes,
    "contains_whitespace": lambda text: any(character.isspace() for character in text),
    "substring_in_list": lambda part, values: any(part in value for value in values),
    "check_whitelist_blacklist": check_whitelist_blacklist,
    "to_snake_case": to_snake_case,
    "to_camelcase": to_camelcase,
    "to_bytes": to_bytes,
    "skip": lambda _value: "",
    "base64_encode": base64_encode,
    "base64_decode": base64_decode,
}
"""By the name that a template uses."""
