"""What the steps of a run are called: their ids, made fit for event tags and different from each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from master.runs.course import is_cleanup
from protocol.assignment import Chunk
from protocol.order import ORDERING

if TYPE_CHECKING:
    from protocol.data import Data

_UNFIT: Final = re.compile(r"[^A-Za-z0-9._:@+-]+")
_LONGEST: Final = 200


def names(chunks: Sequence[Chunk]) -> tuple[str, ...]:
    """One name a chunk: its id with what a tag may not hold replaced by `-`; a second one of a name gets `.2`."""
    given: set[str] = set()
    found = []
    for chunk in chunks:
        base = _UNFIT.sub("-", chunk.id)[:_LONGEST] or "step"
        name, number = base, 1
        while name in given:
            number += 1
            name = f"{base}.{number}"
        given.add(name)
        found.append(name)
    return tuple(found)


def declared(chunks: Sequence[Chunk], named: Sequence[str]) -> list[Data]:
    """The steps as the first event of a run tells them: id, function, whom each waits for, whether it is cleanup."""
    return [
        {
            "id": name,
            "function": chunk.function,
            "require": [
                named[target]
                for requisite in chunk.requisites
                if requisite.kind in ORDERING
                for target in requisite.targets
            ],
            "cleanup": is_cleanup(chunk),
        }
        for chunk, name in zip(chunks, named, strict=True)
    ]
