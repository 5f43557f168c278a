"""What templates ask of minions while they are rendered: each question is an ordinary call, allowed by its access."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from master.compiler.gpg import decrypt_here
from master.compiler.outward import checked_call, plain_answer
from master.jobs import Jobs, MinionOutcome
from master.orders import JobRequest
from protocol.data import Data
from protocol.errors import ArgumentError, NoTargetError, SlsError, StackmasterError
from protocol.names import MinionId
from protocol.results import JobState
from protocol.secrets import literals
from states import registry

PATIENCE: Final = 30.0
"""Seconds that a minion has to answer."""

USER: Final = "templates"
"""Who asks, in the list of jobs."""


Expand = Callable[[str, str], Awaitable[Iterable[MinionId]]]
"""The minions that a target of a kind means. Raises TargetError, NoTargetError."""


@dataclass(frozen=True, slots=True)
class AskingRules:
    """`functions` that templates may call though they do more than read; `keyring`: the folder of gpg's keys."""

    functions: tuple[str, ...] = ()
    keyring: Path | None = None


class Asking:
    """Asks the minions of `jobs`; `connected` gives those that could answer, `expand` those that a target means."""

    def __init__(
        self, rules: AskingRules, jobs: Jobs, expand: Expand, connected: Callable[[], Iterable[MinionId]]
    ) -> None:
        self._rules = rules
        self._jobs = jobs
        self._expand = expand
        self._connected = connected

    def of(self, minion: MinionId) -> MinionAnswers:
        """The answers of one minion."""
        return MinionAnswers(self, minion)

    async def function(self, minion: MinionId, name: str, args: Sequence[Data], kwargs: Mapping[str, Data]) -> Data:
        """What a function of `minion` returns. Raises SlsError."""
        if name == "mine.get":
            return await self._mine(*args, **kwargs)  # type: ignore[arg-type]
        request = self._request(name, args, kwargs)
        if minion not in set(self._connected()):
            help = "start it, or read a grain or pillar key instead"
            raise SlsError(f"{minion} is not connected, and a template asks it for {name}", help=help)
        outcome = (await self._outcomes(str(minion), "list", request)).get(minion)
        if outcome is None or outcome.state is not JobState.SUCCEEDED:
            why = "no answer" if outcome is None else outcome.reason or str(outcome.value or outcome.state)
            raise SlsError(f"{name} on {minion}: {why}"[:1000])
        return self._told(name, outcome.value)

    async def decrypt(self, message: str) -> str:
        """The text in the OpenPGP message. Raises SlsError."""
        return await asyncio.to_thread(decrypt_here, self._rules.keyring, message)

    async def _mine(
        self, tgt: str, fun: str | list[str], tgt_type: str = "glob", exclude_minion: bool = False
    ) -> dict[str, Data]:
        """Minion to what `fun` returns there, asked now of each connected minion that is meant; of several, by fun."""
        if not isinstance(fun, str):
            return {name: await self._mine(tgt, name, tgt_type) for name in fun}
        request = self._request(fun, (), {})
        try:
            meant = set(await self._expand(tgt, tgt_type)) & set(self._connected())
        except NoTargetError:
            return {}
        if not meant:
            return {}
        outcomes = await self._outcomes(",".join(sorted(meant)), "list", request)
        good = {name: found for name, found in outcomes.items() if found.state is JobState.SUCCEEDED}
        return {name: self._told(fun, found.value) for name, found in sorted(good.items())}

    def _request(self, name: str, args: Sequence[Data], kwargs: Mapping[str, Data]) -> JobRequest:
        """The call, when templates may make it. Raises SlsError."""
        asked = JobRequest("", kind="call", function=name, timeout=PATIENCE, user=USER)
        try:
            registry.find_function(name)
        except ArgumentError:
            if not self._allows(name):
                help = f"to allow it to every state tree, set `render_functions: [{name}]` in the master's settings"
                raise SlsError(f"templates may not call the state tree's own function {name!r}", help=help) from None
            return replace(asked, args=tuple(args), kwargs=kwargs)
        allowed = (name,) if self._allows(name) else ()
        _, bound = checked_call(name, args, kwargs, allowed)
        return replace(asked, kwargs=bound)

    def _allows(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._rules.functions)

    async def _outcomes(self, target: str, kind: str, request: JobRequest) -> Mapping[str, MinionOutcome]:
        try:
            job = await self._jobs.start(replace(request, target=target, target_kind=kind))
            return (await self._jobs.wait(job)).minions
        except StackmasterError as error:
            raise SlsError(f"{request.function}: {error.message}", help=error.help) from None

    def _told(self, name: str, value: Data) -> Data:
        try:
            return plain_answer(registry.find_function(name), value)
        except ArgumentError:
            if literals(value):
                raise SlsError(f"the function {name!r} returns a secret, which templates cannot ask for") from None
            return value


class MinionAnswers:
    """The answers of one minion, to one compilation."""

    def __init__(self, asking: Asking, minion: MinionId) -> None:
        self._asking = asking
        self._minion = minion

    async def function(self, name: str, args: Sequence[Data], kwargs: Mapping[str, Data]) -> Data:
        """What the minion's function returns. Raises SlsError."""
        return await self._asking.function(self._minion, name, args, kwargs)

    async def decrypt(self, message: str) -> str:
        """The text in the OpenPGP message. Raises SlsError."""
        return await self._asking.decrypt(message)
