"""A plan as a document: assignments by digest, what they foretell, a fingerprint; and what moved since it was made."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from protocol.data import Data
from protocol.errors import RefusedError, StoreError
from protocol.results import StepResult

SCHEMA: Final = "stackmaster.plan/1"

_PURPOSE: Final = "plan"
_CHANGED: Final = "was it edited, or made by another master? make a new one with `stackmaster plan … --out FILE`"
_KEYS: Final = frozenset(
    ("schema", "created", "expires", "user", "target", "target_kind", "sls", "environment", "pillar", "timeout", "job",
     "minions", "foretold")
)  # fmt: skip

Steps = Sequence[Mapping[str, Any]]


class Seals(Protocol):
    """What makes a document unchangeable: the master's Vault."""

    def seal(self, content: bytes, purpose: str) -> bytes:
        """`content` as only this master can open it."""
        ...

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What was sealed. Raises StoreError."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """One minion's part of a plan: the digest of its assignment, and of that assignment as the vault sealed it."""

    assignment: str
    sealed: str


@dataclass(frozen=True, slots=True)
class Moved:
    """One difference between what a plan foretold and what a dry run says now; `was` and `now` None: nothing to do."""

    minion: str
    state: str
    subject: str
    aspect: str
    was: Data
    now: Data

    def told(self) -> dict[str, Data]:
        """As the API tells it."""
        return {
            "minion": self.minion, "state": self.state, "subject": self.subject, "aspect": self.aspect,
            "was": self.was, "is": self.now,
        }  # fmt: skip


def steps_of(results: Iterable[StepResult]) -> list[dict[str, Data]]:
    """What a dry run foretells, in order: every step that changes something, or of which that is not known."""
    told: list[dict[str, Data]] = []
    for result in results:
        if not result.changes and result.result is True:
            continue
        changes: list[Data] = [
            {"kind": each.kind, "subject": each.subject, "aspect": each.aspect, "old": each.old, "new": each.new,
             "diff": each.diff}
            for each in result.changes
        ]  # fmt: skip
        told.append(
            {"tag": result.tag, "function": result.function, "id": result.id, "name": result.name,
             "result": result.result, "changes": changes}
        )  # fmt: skip
    return cast(list[dict[str, Data]], _plain(told))


def document(
    head: Mapping[str, Data], kept: Mapping[str, Kept], steps: Mapping[str, Steps], seals: Seals
) -> dict[str, Any]:
    """The plan of `head` (who asked for what, when) for the minions of `kept`, which foretell `steps`.

    Minions that foretell the same share one entry of `foretold`.
    """
    foretold: dict[str, Any] = {}
    minions: dict[str, Any] = {}
    for minion, part in kept.items():
        key = _digest(steps[minion])[:16]
        foretold[key] = steps[minion]
        minions[minion] = {"assignment": part.assignment, "sealed": part.sealed, "foretold": key}
    plan: dict[str, Any] = cast(
        dict[str, Any], _plain({"schema": SCHEMA, **head, "minions": minions, "foretold": foretold})
    )
    mark = _digest(plan)
    seal = base64.b64encode(seals.seal(mark.encode(), _PURPOSE)).decode()
    return {**plan, "fingerprint": mark, "seal": seal}


def check(plan: Mapping[str, Any], seals: Seals, now: float) -> None:
    """See that `plan` is one that this master made, unchanged and not too old. Raises RefusedError."""
    body = {key: value for key, value in plan.items() if key not in ("fingerprint", "seal")}
    if body.get("schema") != SCHEMA or body.keys() != _KEYS:
        raise RefusedError("this is no plan of stackmaster", help="make one with `stackmaster plan … --out FILE`")
    mark = _digest(body)
    try:
        sealed = base64.b64decode(str(plan.get("seal", "")), validate=True)
        holds = seals.open(sealed, _PURPOSE) == mark.encode() and plan.get("fingerprint") == mark
    except (StoreError, binascii.Error):
        holds = False
    if not holds:
        raise RefusedError("the plan is not as this master made it", help=_CHANGED)
    if now > plan["expires"]:
        raise RefusedError(
            f"the plan is {(now - plan['created']) / 3600:.0f} hours old: its contents are kept for a day",
            help="make a new one with `stackmaster plan … --out FILE`",
        )


def membership(planned: Iterable[str], meant: Iterable[str]) -> tuple[list[str], list[str]]:
    """The minions that joined and those that left what the plan's target means, sorted."""
    before, after = set(planned), set(meant)
    return sorted(after - before), sorted(before - after)


def moved(minion: str, was: Steps, now: Steps) -> list[Moved]:
    """What differs between two foretellings of one minion, in order."""
    before, after = _changes(was), _changes(now)
    found: list[Moved] = []
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old != new:
            _tag, state, subject, aspect, _count = key
            found.append(Moved(minion, state, subject, aspect, old, new))
    return found


_Key = tuple[str, str, str, str, int]


def _changes(steps: Steps) -> dict[_Key, Data]:
    """Each foretold change by step, subject and aspect (counted, should one come twice)."""
    found: dict[_Key, Data] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for step in steps:
        state = f"{step['function']} {step['name']}"
        told = [(each["subject"], each["aspect"], _value(each)) for each in step["changes"]]
        for subject, aspect, value in told or [("", "result", step["result"])]:
            at = (step["tag"], subject, aspect)
            found[(step["tag"], state, subject, aspect, seen[at])] = value
            seen[at] += 1
    return found


def _value(change: Mapping[str, Any]) -> Data:
    return {key: change[key] for key in ("kind", "old", "new", "diff")}


def _plain(value: Any) -> Any:
    """`value` as it is after a way through the API: bytes are text, tuples are lists, what JSON has not is null."""
    text = json.dumps(value, default=_text, ensure_ascii=False).encode("utf-8", "replace")
    return json.loads(text, parse_constant=lambda _name: None)


def _text(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return dict(value) if isinstance(value, Mapping) else str(value)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_text)
    return hashlib.sha256(text.encode()).hexdigest()
