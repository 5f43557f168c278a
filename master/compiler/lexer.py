"""Jinja's lexer with the numbers of older formulas: `0644` is the decimal number 644, as Jinja read it up to 2.10.

That is what formulas mean by it: printed into YAML, `mode: {{ 0644 }}` becomes `mode: 644`, the file mode 0644. (The
octal number 420 would be another mode.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import jinja2
from jinja2.lexer import TOKEN_INTEGER, Lexer, Token, integer_re

_INTEGER: Final = re.compile(rf"0[0-9]+(?![xob_.0-9eE])|{integer_re.pattern}", integer_re.flags)
_LEADING: Final = re.compile(r"\A0+(?=[0-9])")


class DecimalLexer(Lexer):
    """Takes integers with leading zeros as decimal ones."""

    _made: DecimalLexer | None = None

    @classmethod
    def of(cls, environment: jinja2.Environment) -> DecimalLexer:
        """The lexer for `environment`; all of ours are set up alike, so it is one."""
        if DecimalLexer._made is None:
            DecimalLexer._made = cls(environment)
        return DecimalLexer._made

    def __init__(self, environment: jinja2.Environment) -> None:
        super().__init__(environment)
        self.rules = {
            state: [rule._replace(pattern=_INTEGER) if rule.pattern is integer_re else rule for rule in rules]
            for state, rules in self.rules.items()
        }

    def wrap(
        self, stream: Iterable[tuple[int, str, str]], name: str | None = None, filename: str | None = None
    ) -> Iterator[Token]:
        """The tokens of the stream, numbers without leading zeros."""
        return super().wrap(map(_stripped, stream), name, filename)


def _stripped(token: Any) -> Any:
    line, kind, text = token
    return (line, kind, _LEADING.sub("", text)) if kind == TOKEN_INTEGER and text.isdigit() else token
