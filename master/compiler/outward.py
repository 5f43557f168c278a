"""What a compilation may ask beyond its files: functions of the minion, and the key that decrypts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from master.compiler.reads import Reads, frozen, frozen_expression
from master.compiler.reported import Guard, holds_reported, mark
from protocol.data import Data
from protocol.errors import ArgumentError, SlsError
from protocol.secrets import literals
from states import registry
from states.declarations import Function

MOST_QUESTIONS = 500
"""Questions of one compilation."""


class Answers(Protocol):
    """Who answers: the master's daemon through the pipe of a compiling process, or this host itself."""

    def function(self, name: str, args: Sequence[Data], kwargs: Mapping[str, Data]) -> Data:
        """What the minion's function `name` returns. Raises SlsError when it fails, is unknown or not allowed."""
        ...

    def decrypt(self, message: str) -> str:
        """The text in the OpenPGP message. Raises SlsError."""
        ...


class Outward:
    """The questions of one compilation; each answer is asked for once, is noted, and is data that a minion reported."""

    def __init__(self, answers: Answers | None, guard: Guard, reads: Reads) -> None:
        self._answers = answers
        self._guard = guard
        self._reads = reads
        self._known: dict[tuple[str, bytes], Any] = {}

    def reading(self, reads: Reads) -> Outward:
        """The same, with its answers, noting in `reads`."""
        other = Outward(self._answers, self._guard, reads)
        other._known = self._known
        return other

    @property
    def reads(self) -> Reads:
        """Where it notes."""
        return self._reads

    @property
    def reachable(self) -> bool:
        """Whether anybody answers."""
        return self._answers is not None

    def once(self) -> None:
        """What is made now is true once only."""
        self._reads.once()

    def ask(self, function: str, *args: Any, **kwargs: Any) -> Any:
        """What the minion answers. Raises SlsError."""
        if self._answers is None:
            raise unanswered(function)
        key = function, frozen_expression([list(args), kwargs])
        if key not in self._known:
            if len(self._known) >= MOST_QUESTIONS:
                raise SlsError(f"templates ask their minion more than {MOST_QUESTIONS} questions")
            self._known[key] = self._answers.function(function, args, kwargs)
        answer = self._known[key]
        self._reads.note(("call", *key), frozen(answer))
        marked = mark(answer)
        self._guard.active = self._guard.active or holds_reported(marked)
        return marked

    def decrypt(self, message: str) -> str:
        """The text in the OpenPGP message. Raises SlsError."""
        if self._answers is None:
            raise SlsError("encrypted values cannot be read here", help="compile with the master, or with --local")
        return self._answers.decrypt(message)


def unanswered(name: str) -> SlsError:
    """Why a function of the minion cannot be called where nobody answers."""
    help = "compile for a connected minion with the master, or read a grain or pillar key instead"
    return SlsError(f"the function {name!r} runs on a minion, and cannot be called while rendering", help=help)


def unknown(name: str, known: Iterable[str]) -> SlsError:
    """That there is no function `name`, with the nearest of the `known` ones."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    help = f"did you mean {close[0]!r}?" if close else "`stackmaster doc` lists the functions that there are"
    return SlsError(f"the function {name!r} cannot be called while rendering: there is none of this name", help=help)


def checked_call(
    name: str, args: Sequence[Data], kwargs: Mapping[str, Data], allowed: Iterable[str]
) -> tuple[Function, dict[str, Data]]:
    """The function and its arguments by name, when templates may call it: it only reads, or is one of `allowed`.

    Raises SlsError that says which setting allows it.
    """
    try:
        function = registry.find_function(name)
        given = registry.by_name(name, function.signature, args, kwargs)
        bound = registry.check_arguments(name, function.signature, given)
    except ArgumentError as error:
        raise SlsError(error.message, help=error.help) from None
    if function.access != "reads" and name not in allowed:
        does = "runs code on" if function.access == "runs-code" else "changes"
        help = f"to allow it to every state tree, set `render_functions: [{name}]` in the master's settings"
        raise SlsError(f"the function {name!r} {does} the minion, which templates may not do", help=help)
    return function, bound


def plain_answer(function: Function, answer: Data) -> Data:
    """The answer, unless it is a secret: those come to templates through pillar only. Raises SlsError."""
    if function.secret or literals(answer):
        help = "put the secret into pillar, or hand it from step to step of an orchestration"
        raise SlsError(f"the function {function.name!r} returns a secret, which templates cannot ask for", help=help)
    return answer
