"""Target expressions: who is meant by `web* and G@os:Debian`, `osd[1-40]`, `N@mons and not E@mon[34]`.

`parse` is lenient as Salt: what cannot be read matches nobody, and nothing is ever raised. `check` is strict: it
raises TargetError with the place of the mistake, for use before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, get_args

from protocol import matchers
from protocol.data import Data
from protocol.errors import TargetError, Where
from protocol.matchers import Subject
from protocol.regexes import MAX_PATTERN
from protocol.targettree import AllOf, AnyOf, Kind, Node, Not, Reason, Target, Term

__all__ = ["KINDS", "Kind", "Reason", "Subject", "Target", "check", "parse"]

KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))

Nodegroups = Mapping[str, Data]
NO_GROUPS: Final[Nodegroups] = MappingProxyType({})

MAX_WORDS: Final = 2000
"""Words of an expression, with its nodegroups expanded."""
MAX_NESTING: Final = 50
"""Parentheses and nodegroups within each other."""

_OPERATORS: Final = ("and", "or", "not", "(", ")")
_LETTERS: Final[Mapping[str, Kind]] = MappingProxyType(
    {"G": "grain", "P": "grain_pcre", "I": "pillar", "J": "pillar_pcre", "L": "list", "S": "ipcidr", "E": "pcre"}
)
_TERM: Final = re.compile(r"(?:([GPIJ])(.)?|([LNSERTM]))@(.+)", re.DOTALL)
_HOW: Final = MappingProxyType(
    {
        "grain": "glob",
        "grain_pcre": "pcre",
        "pillar": "glob",
        "pillar_pcre": "pcre",
        "pillar_exact": "exact",
    }
)


def parse(expression: Data, kind: str = "compound", nodegroups: Nodegroups = NO_GROUPS) -> Target:
    """The target `expression` of `kind` (one of KINDS): text, or for compound and list also a list of words.

    Never raises: what cannot be read gives a Target that matches nobody.
    """
    shown = expression if isinstance(expression, str) else str(expression)
    try:
        return Target(shown, kind, _Reader(nodegroups, strict=False).read(expression, kind))
    except TargetError as error:
        return Target(shown, kind, None, error.message)


def check(expression: Data, kind: str = "compound", nodegroups: Nodegroups = NO_GROUPS) -> None:
    """Raises TargetError, with the column in its `where`, when `expression` cannot be read or can match nobody as
    it is written."""
    _Reader(nodegroups, strict=True).read(expression, kind)


class _Reader:
    """Reads one expression; `strict` refuses also what Salt would take for a glob."""

    def __init__(self, nodegroups: Nodegroups, *, strict: bool) -> None:
        self._groups = nodegroups
        self._strict = strict
        self._open: list[str] = []
        self._count = 0

    def read(self, expression: Data, kind: str) -> Node:
        if kind == "nodegroup" and isinstance(expression, str):
            return self._group(expression, 1)
        if kind == "compound":
            return self._compound(_words(expression), 0)
        if isinstance(expression, list | tuple) and kind == "list":
            expression = ",".join(map(str, expression))
        if kind not in KINDS:
            raise _wrong(f"there is no target kind {kind!r}", 1, f"use one of {', '.join(sorted(KINDS))}")
        if not isinstance(expression, str) or (self._strict and not expression):
            raise _wrong("the target is empty" if not expression else "the target is not text", 1)
        return self._term(expression, _kind(kind), expression, ":", 1)

    def _compound(self, words: Sequence[tuple[str, int]], depth: int) -> Node:
        if depth > MAX_NESTING:
            raise _wrong(f"nested deeper than {MAX_NESTING}", 1)
        self._count += len(words)
        if self._count > MAX_WORDS:
            raise _wrong(f"more than {MAX_WORDS} words", 1)
        if not words:
            raise _wrong("the target is empty", 1, "'*' means every minion")
        words = list(reversed(words))
        node = self._either(words, depth)
        if words:
            if self._strict:
                _doubt(*words[-1])
            raise _wrong(f"{words[-1][0]!r} is not expected here", words[-1][1], "put 'and' or 'or' between two terms")
        return node

    def _either(self, words: list[tuple[str, int]], depth: int) -> Node:
        parts = [self._both(words, depth)]
        while words and words[-1][0] == "or":
            words.pop()
            parts.append(self._both(words, depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _both(self, words: list[tuple[str, int]], depth: int) -> Node:
        parts = [self._one(words, depth)]
        while words and words[-1][0] in ("and", "not"):
            if words[-1][0] == "and":
                words.pop()
            parts.append(self._one(words, depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _one(self, words: list[tuple[str, int]], depth: int) -> Node:
        if not words:
            raise _wrong("the expression ends where a term is expected", 0, "add a term, or leave the last word out")
        word, column = words.pop()
        if word == "not":
            if words and words[-1][0] == "not":
                raise _wrong("'not not' is not allowed", column, "leave both out")
            return Not(self._one(words, depth))
        if word == "(":
            if depth >= MAX_NESTING:
                raise _wrong(f"nested deeper than {MAX_NESTING}", column)
            inner = self._either(words, depth + 1)
            if not words or words.pop()[0] != ")":
                raise _wrong("this parenthesis is not closed", column, "add ')' with a space before it")
            return inner
        if word in _OPERATORS:
            raise _wrong(f"{word!r} is not expected here", column, "a term belongs before it")
        return self._word(word, column)

    def _word(self, word: str, column: int) -> Node:
        found = _TERM.fullmatch(word)
        if found is None:
            if self._strict:
                _doubt(word, column)
            return self._term(word, "glob", word, ":", column)
        letter, pattern = found[1] or found[3], found[4]
        if letter == "N":
            return self._group(pattern, column)
        if letter not in _LETTERS:
            raise _wrong(
                f"{letter}@ is not supported", column, f"use one of {' '.join(f'{each}@' for each in _LETTERS)} N@"
            )
        return self._term(word, _LETTERS[letter], pattern, found[2] or ":", column)

    def _group(self, name: str, column: int) -> Node:
        """The nodegroup as if in parentheses; a list of plain ids is a list of ids."""
        if name in self._open:
            raise _wrong(f"the nodegroup {name!r} contains itself", column, " in ".join((*self._open, name)))
        value = self._groups.get(name)
        if not isinstance(value, str | list | tuple):
            known = ", ".join(sorted(self._groups)) or "none are configured"
            raise _wrong(f"there is no nodegroup {name!r}", column, f"known: {known}")
        words = [(word, column) for word, _ in _words(list(value) if isinstance(value, tuple) else value)]
        if not any(word in _OPERATORS or re.match("[A-Z].?@", word) for word, _ in words):
            return self._names(name, words, column)
        self._open.append(name)
        try:
            return self._compound(words, len(self._open))
        finally:
            self._open.pop()

    def _names(self, group: str, words: Sequence[tuple[str, int]], column: int) -> Node:
        """A nodegroup of ids, globs and node sets: any of them."""
        if self._strict and not words:
            raise _wrong(f"the nodegroup {group!r} is empty", column)
        if not any(character in word for word, _ in words for character in "*?["):
            return self._term(f"N@{group}", "list", ",".join(word for word, _ in words), ":", column)
        return AnyOf(tuple(self._term(word, "glob", word, ":", column) for word, _ in words))

    def _term(self, text: str, kind: Kind, pattern: str, delimiter: str, column: int) -> Term:
        if len(pattern) > MAX_PATTERN:
            raise _wrong(f"a term longer than {MAX_PATTERN} characters", column)
        try:
            test = self._test(kind, pattern, delimiter)
        except TargetError as error:
            if not self._strict:
                return Term(text, kind, lambda subject: False, delimiter, pattern)
            raise _wrong(error.message, column, error.help) from None
        return Term(text, kind, test, delimiter, pattern)

    def _test(self, kind: Kind, pattern: str, delimiter: str) -> Callable[[Subject], bool]:
        """What a term asks of a subject. Raises TargetError for a pattern that cannot be read."""
        if kind == "glob":
            test = matchers.id_test(pattern)
            return lambda subject: test(subject.id)
        if kind == "pcre":
            expression = matchers.regex(pattern, strict=self._strict)
            return lambda subject: expression.match(subject.id) is not None
        if kind == "list":
            ids = frozenset(pattern.split(","))
            return lambda subject: subject.id in ids
        if kind == "ipcidr":
            wanted = matchers.network(pattern)
            return lambda subject: matchers.address_matches(subject, wanted)
        how, in_pillar = _HOW[kind], kind.startswith("pillar")
        if self._strict:
            if delimiter not in pattern:
                raise TargetError(f"{pattern!r} has no {delimiter!r}", help=f"write key{delimiter}value")
            matchers.value_test(pattern.split(delimiter)[-1], how, strict=True)
        return lambda subject: matchers.data_matches(
            subject.pillar if in_pillar else subject.grains, pattern, delimiter, how
        )


def _kind(kind: str) -> Kind:
    return next(known for known in get_args(Kind) if known == kind)


def _words(expression: Data) -> list[tuple[str, int]]:
    """The words of an expression, each with its column."""
    if isinstance(expression, str):
        return [(found[0], found.start() + 1) for found in re.finditer(r"\S+", expression)]
    if isinstance(expression, list):
        return [(str(word), index + 1) for index, word in enumerate(expression)]
    raise _wrong("the target is not text", 1)


def _doubt(word: str, column: int) -> None:
    """Raise TargetError for a word that is a glob to Salt, but hardly to whom wrote it."""
    if word.lower() in ("and", "or", "not"):
        raise _wrong(f"{word!r} must be written in small letters", column, word.lower())
    if word not in _OPERATORS and (word.startswith("(") or word.endswith(")")):
        raise _wrong("a parenthesis must stand alone", column, "put a space on both sides of it")
    if re.match("[A-Za-z].?@|@", word):
        known = " ".join(f"{letter}@" for letter in (*_LETTERS, "N"))
        raise _wrong(f"{word!r} begins with no known letter, or nothing follows it", column, f"use one of {known}")


def _wrong(message: str, column: int, help: str = "") -> TargetError:
    return TargetError(message, where=Where(file="target", line=1, column=column), help=help)
