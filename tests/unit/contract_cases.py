"""The cases of tests/contracts as data: what a host has, the state, and the changes that are to come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from protocol.data import Data
from protocol.secrets import Secret

FOLDER = Path(__file__).resolve().parents[1] / "contracts"


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    `plan` is what a dry run must foretell: `[kind, subject, aspect]`, or with old and new value behind. `then` holds
    contents of files after it was applied (null: not there). `acts`: it acts each time, so that a second run is not
    empty. `promised`: the result of its dry run, where that is not None for changes. `fails`: part of its comment.
    """

    file: str
    title: str
    state: str
    name: str
    world: str = "plain"
    args: Mapping[str, Data] = field(default_factory=dict)
    options: Mapping[str, Data] = field(default_factory=dict)
    have: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    plan: Sequence[Sequence[Data]] = ()
    then: Mapping[str, str | None] = field(default_factory=dict)
    acts: bool = False
    promised: bool | None = None
    fails: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.state}: {self.title}"


class _Loader(yaml.SafeLoader):
    """YAML with `!secret`."""


_Loader.add_constructor("!secret", lambda loader, node: Secret(str(node.value)))


def load() -> list[Case]:
    """All cases. What a file says beside `cases` is shared by them; `have` and `facts` are laid over it."""
    found: list[Case] = []
    for path in sorted(FOLDER.glob("*.yaml")):
        said = yaml.load(path.read_text("utf-8"), _Loader)
        shared = {key: value for key, value in said.items() if key != "cases"}
        for case in said["cases"]:
            merged = {**shared, **case}
            for key in ("have", "facts", "args"):
                if key in shared and key in case:
                    merged[key] = {**shared[key], **case[key]}
            merged.setdefault("plan", ())
            found.append(Case(file=path.stem, **merged))
    return found
