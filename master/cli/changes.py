"""Changes of many minions told once: identical ones grouped, with their diff, their mark and a total."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from master.cli.nodeset import short
from master.cli.progress import Minion, Step, Tone

MARKS: Final[Mapping[str, str]] = {"create": "+", "change": "~", "remove": "-", "restart": "!", "run": ">"}
UNKNOWN: Final = "?"
_TONES: Final[Mapping[str, Tone]] = {
    "create": "good", "change": "changed", "remove": "bad", "restart": "warn", "run": "warn",
}  # fmt: skip
_LONGEST_DIFF: Final = 400
"""Lines of one diff that are shown; the rest is counted."""

Line = tuple[str, Tone | None]


@dataclass(slots=True)
class Group:
    """One change and the minions it is the same on."""

    change: Mapping[str, Any]
    minions: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Block:
    """One step and what it changes, in the order of the assignment."""

    title: str
    place: str
    groups: dict[str, Group] = field(default_factory=dict)


def gather(minions: Iterable[Minion]) -> list[Block]:
    """The changes of `minions`, one block a step, identical changes together."""
    blocks: dict[tuple[str, str, str], Block] = {}
    for minion in minions:
        for step in minion.changed:
            result = step.result
            key = (step.place, str(result.get("id")), step.title)
            block = blocks.setdefault(key, Block(step.title, step.place))
            for change in _changes(step):
                group = block.groups.setdefault(_identity(change), Group(change))
                if minion.id not in group.minions:
                    group.minions.append(minion.id)
    return list(blocks.values())


def _changes(step: Step) -> list[Mapping[str, Any]]:
    unknown = {"kind": "", "subject": str(step.result.get("comment") or "not known until applied").strip()}
    return step.changes or [unknown]


def _identity(change: Mapping[str, Any]) -> str:
    return repr([change.get(key) for key in ("kind", "subject", "aspect", "old", "new", "diff")])


def show(blocks: Iterable[Block], *, diffs: bool = True) -> list[Line]:
    """The lines that tell `blocks`; with `diffs` each difference in full."""
    found: list[Line] = []
    for block in blocks:
        place = f"  ({block.place})" if block.place else ""
        found.append((f"{block.title}{place}", None))
        for group in block.groups.values():
            found += _group(group, diffs)
    return found


def _group(group: Group, diffs: bool) -> list[Line]:
    change = group.change
    kind = str(change.get("kind") or "")
    tone = _TONES.get(kind, "dim")
    aspect = f" {change['aspect']}" if change.get("aspect") else ""
    text = f"  {MARKS.get(kind, UNKNOWN)} {change.get('subject', '')}{aspect}"
    diff = str(change.get("diff") or "")
    if not diff and (change.get("old") is not None or change.get("new") is not None):
        text += ": " + values(change.get("old"), change.get("new"))
    return [(f"{text}  on {short(group.minions)}", tone), *(_diff(diff) if diffs else [])]


def values(old: Any, new: Any) -> str:
    """`'0644' → '0640'`, or only the new one where nothing was before."""
    if old is None:
        return _value(new)
    return f"{_value(old)} → {_value(new)}"


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else repr(value)
    text = text.replace("\n", "⏎")
    return text if len(text) <= 120 else text[:119] + "…"


def _diff(diff: str) -> list[Line]:
    lines = diff.rstrip("\n").split("\n") if diff else []
    shown: list[Line] = []
    for line in lines[:_LONGEST_DIFF]:
        tone: Tone | None = "good" if line.startswith("+") else "bad" if line.startswith("-") else "dim"
        shown.append((f"      {line}", tone))
    if len(lines) > _LONGEST_DIFF:
        shown.append((f"      … {len(lines) - _LONGEST_DIFF} more lines", "dim"))
    return shown


def totals(minions: Iterable[Minion]) -> dict[str, int]:
    """How many changes of each kind there are over all minions; `unknown` for those that cannot be foretold."""
    counted = dict.fromkeys((*MARKS, "unknown"), 0)
    for minion in minions:
        for step in minion.changed:
            for change in _changes(step):
                kind = str(change.get("kind") or "")
                counted[kind if kind in MARKS else "unknown"] += 1
    return counted


def footer(minions: Iterable[Minion]) -> str:
    """`Plan: 3 create, 1 change, 0 remove, 2 restart, 0 run on 3 of 120 minions.`"""
    told = list(minions)
    counted = totals(told)
    concerned = {minion.id for minion in told if minion.changed}
    number = len({minion.id for minion in told})
    plural = "minion" if number == 1 else "minions"
    if not concerned:
        return f"Plan: nothing to change on {number} {plural}."
    parts = [f"{number} {kind}" for kind, number in counted.items() if kind != "unknown"]
    if counted["unknown"]:
        parts.append(f"{counted['unknown']} not known until applied")
    return f"Plan: {', '.join(parts)} on {len(concerned)} of {number} {plural}."
