"""Target expressions: who is meant by `web* and G@os:Debian`, `osd[1-40]`, `N@mons and not E@mon[34]`.

`parse` is lenient as Salt: what cannot be read matches nobody, and nothing is ever raised. `check` is strict: it
raises TargetError with the place of the mistake, for use before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, get_args

from protocol import matchers, nodeset
from protocol.data import Data
from protocol.errors import TargetError, Where
from protocol.matchers import Subject
from protocol.regexes import MAX_PATTERN
from protocol.targetparser import MAX_NESTING, OPERATORS, Parser, Token, shape
from protocol.targettree import AnyOf, Kind, Node, Reason, Target, Term

__all__ = ["KINDS", "Kind", "Reason", "Subject", "Target", "check", "parse"]

KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))

Nodegroups = Mapping[str, Data]
NO_GROUPS: Final[Nodegroups] = MappingProxyType({})

MAX_WORDS: Final = 2000
"""Words of an expression, with its nodegroups expanded."""

Word = tuple[str, int]
"""A word and its column."""

_NOBODY: Final = ("T", "M")
"""Letters of Salt's resources, of which no minion of ours has any."""
_ANY_OF: Final = "\0any "
"""Begins a word that was made of the globs and node sets of a node group."""
_REGEX: Final = frozenset("([{\\?}])")
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

    def read(self, expression: Data, kind: str) -> Node:
        if kind == "nodegroup" and isinstance(expression, str):
            if not self._strict and expression not in self._groups:
                raise _wrong(f"there is no nodegroup {expression!r}", 1)
            return self._compound(self._spliced(expression, 1))
        if kind == "compound":
            return self._compound(_words(expression))
        if isinstance(expression, list | tuple) and kind == "list":
            expression = ",".join(map(str, expression))
        if kind not in KINDS:
            raise _wrong(f"there is no target kind {kind!r}", 1, f"use one of {', '.join(sorted(KINDS))}")
        if not isinstance(expression, str) or (self._strict and not expression):
            raise _wrong("the target is empty" if not expression else "the target is not text", 1)
        return self._term(expression, _kind(kind), expression, ":", 1)

    def _compound(self, words: Sequence[Word]) -> Node:
        if not words:
            raise _wrong("the target is empty", 1, "'*' means every minion")
        node = Parser(self._tokens(words), strict=self._strict).whole()
        if self._strict and any(found[0].startswith("N@") for found in words):
            grouped = Parser(self._tokens(words, grouped=True), strict=True).whole()
            if shape(grouped) != shape(node):
                message = (
                    "the words of a node group stand here without parentheses, as on Salt, and mean something else"
                )
                raise _wrong(message, words[0][1], "write the node group as ( … ) in the configuration")
        return node

    def _tokens(self, words: Sequence[Word], *, grouped: bool = False) -> list[Token]:
        """Operators and terms, node groups replaced by their words; with `grouped`, each in parentheses.

        A `not` behind a term is `and not`, as in Salt (salt/matchers/compound_match.py).
        """
        tokens: list[Token] = []
        waiting = list(reversed(words))
        count = 0
        while waiting:
            word, column = waiting.pop()
            count += 1
            if count > MAX_WORDS:
                raise _wrong(f"more than {MAX_WORDS} words", 1)
            if word in OPERATORS:
                before = tokens[-1].text if tokens else ""
                if word in ("and", "or") and before in ("", "("):
                    raise _wrong(f"{word!r} is not expected here", column, "a term belongs before it")
                if word == "not" and before not in ("", "and", "or", "("):
                    tokens.append(Token("and", column))
                tokens.append(Token(word, column))
                continue
            found = _TERM.fullmatch(word)
            if found is not None and found[3] == "N":
                spliced = self._spliced(found[4], column)
                several = grouped and len(spliced) > 1
                waiting += reversed([("(", column), *spliced, (")", column)] if several else spliced)
                continue
            tokens.append(Token(word, column, self._word(word, column)))
        return tokens

    def _word(self, word: str, column: int) -> Node:
        if word.startswith(_ANY_OF):
            patterns = word.removeprefix(_ANY_OF).split(" ")
            return AnyOf(tuple(self._term(each, "glob", each, ":", column) for each in patterns))
        found = _TERM.fullmatch(word)
        if found is None:
            if self._strict:
                _doubt(word, column)
            return self._term(word, "glob", word, ":", column)
        letter, pattern = found[1] or found[3], found[4]
        if letter in _NOBODY and not self._strict:
            return Term(word, "glob", lambda subject: False, ":", pattern)
        if letter not in _LETTERS:
            raise _wrong(
                f"{letter}@ is not supported", column, f"use one of {' '.join(f'{each}@' for each in _LETTERS)} N@"
            )
        return self._term(word, _LETTERS[letter], pattern, found[2] or ":", column)

    # --- node groups --------------------------------------------------------------------------------------------

    def _spliced(self, name: str, column: int, inside: tuple[str, ...] = ()) -> list[Word]:
        """The words that stand for a node group: nothing for one that is unknown or contains itself.

        Salt's rules (salt/utils/minions.py, nodegroup_comp): only a group that holds groups is put into parentheses.
        """
        if name in inside:
            if self._strict:
                raise _wrong(f"the nodegroup {name!r} contains itself", column, " in ".join((*inside, name)))
            return []
        value = self._groups.get(name)
        if not isinstance(value, str | list | tuple):
            if self._strict:
                known = ", ".join(sorted(self._groups)) or "none are configured"
                raise _wrong(f"there is no nodegroup {name!r}", column, f"known: {known}")
            return []
        if len(inside) > MAX_NESTING:
            raise _wrong(f"nested deeper than {MAX_NESTING}", column)
        if not isinstance(value, str) and not all(isinstance(word, str) for word in value):
            raise _wrong(f"the nodegroup {name!r} holds what is no text", column, "quote its numbers")
        words = [word for word, _ in _words(list(value) if isinstance(value, tuple) else value)]
        if self._strict and not words:
            raise _wrong(f"the nodegroup {name!r} is empty", column)
        plain = _joined(words)
        nested = any(word.startswith("N@") and len(word) > 2 for word in words)
        if not nested and (plain or not inside):
            return [(word, column) for word in plain or words]
        spliced: list[Word] = []
        for word in words:
            if word.startswith("N@") and len(word) > 2:
                spliced += self._spliced(word[2:], column, (*inside, name))
            else:
                spliced.append((word, column))
            if len(spliced) > MAX_WORDS:
                raise _wrong(f"more than {MAX_WORDS} words", column)
        return [("(", column), *spliced, (")", column)] if spliced else []

    # --- terms --------------------------------------------------------------------------------------------------

    def _term(self, text: str, kind: Kind, pattern: str, delimiter: str, column: int) -> Term:
        if len(pattern) > MAX_PATTERN:
            raise _wrong(f"a term longer than {MAX_PATTERN} characters", column)
        try:
            test = self._test(kind, pattern, delimiter)
        except TargetError as error:
            if not self._strict and kind != "pcre":
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


def _joined(words: Sequence[str]) -> list[str]:
    """The one word for a node group without operators and matchers: ids, a regular expression, or globs.

    Ids and regular expressions as on Salt; a list of globs, or one with a node set, means any of them (Salt: nobody).
    """
    if any(word in OPERATORS or re.match("[A-Z].?@", word) for word in words):
        return []
    if any(nodeset.is_nodeset(word) for word in words) or (len(words) > 1 and any("*" in word for word in words)):
        return [_ANY_OF + " ".join(words)]
    if any("*" in word for word in words):
        return []
    if len(words) == 1 and _REGEX & set(words[0]):
        return [f"E@{words[0]}"]
    if any(_REGEX & set(word) for word in words):
        return [_ANY_OF + " ".join(words)]
    return [f"L@{','.join(words)}"]


def _doubt(word: str, column: int) -> None:
    """Raise TargetError for a word that is a glob to Salt, but hardly to whom wrote it."""
    if word.lower() in ("and", "or", "not"):
        raise _wrong(f"{word!r} must be written in small letters", column, word.lower())
    if word not in OPERATORS and (word.startswith("(") or word.endswith(")")):
        raise _wrong("a parenthesis must stand alone", column, "put a space on both sides of it")
    if re.match("[A-Za-z].?@|@", word):
        known = " ".join(f"{letter}@" for letter in (*_LETTERS, "N"))
        raise _wrong(f"{word!r} begins with no known letter, or nothing follows it", column, f"use one of {known}")


def _wrong(message: str, column: int, help: str = "") -> TargetError:
    return TargetError(message, where=Where(file="target", line=1, column=column), help=help)
