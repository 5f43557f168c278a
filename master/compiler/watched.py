"""Grains, pillar and options as templates see them: mappings that note what is read of them.

They are no dicts: what reads a dict below Python (`json.dumps`, `**`, `dict.update`) would bypass the notes. An entry
is read as a whole, with all that lies below it; going over the keys reads everything. What a template itself puts in is
its own from then on and is noted no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from copy import deepcopy
from typing import Any

from master.compiler.merge import traverse
from master.compiler.reads import ABSENT, Reads, frozen

_NOTHING = object()


class Watched(MutableMapping[Any, Any]):
    """The mapping `data` of the `kind` grains, pillar or opts, read with `reads` watching."""

    __slots__ = ("_data", "_kind", "_own", "_reads")

    def __init__(self, kind: str, data: dict[Any, Any], reads: Reads) -> None:
        self._kind = kind
        self._data = data
        self._reads = reads
        self._own: set[Any] = set()

    def __getitem__(self, key: Any) -> Any:
        self._note(key)
        return self._data[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._own.add(key)
        self._data[key] = value

    def __delitem__(self, key: Any) -> None:
        self._note(key)
        self._own.add(key)
        del self._data[key]

    def __contains__(self, key: object) -> bool:
        self._note(key)
        return key in self._data

    def __iter__(self) -> Iterator[Any]:
        self._note_all()
        return iter(list(self._data))

    def __len__(self) -> int:
        self._note_all()
        return len(self._data)

    def __repr__(self) -> str:
        self._note_all()
        return repr(self._data)

    def __deepcopy__(self, _memo: dict[int, Any]) -> dict[Any, Any]:
        return deepcopy(self.copy())

    def __or__(self, other: Any) -> dict[Any, Any]:
        return self.copy() | dict(other)

    def __ror__(self, other: Any) -> dict[Any, Any]:
        return dict(other) | self.copy()

    def copy(self) -> dict[Any, Any]:
        """All of it in a dict, as a dict's own method does."""
        self._note_all()
        return dict(self._data)

    def _note(self, key: Any) -> None:
        if (self._kind,) in self._reads.notes or key in self._own:
            return
        value = self._data.get(key, _NOTHING)
        self._reads.note((self._kind, key), ABSENT if value is _NOTHING else frozen(value))

    def _note_all(self) -> None:
        self._reads.note((self._kind,), frozen(self._data))


def look(place: Any, path: Any, default: Any = None, delimiter: str = ":") -> Any:
    """As `merge.traverse`; of what is watched, only what lies at the path is noted."""
    if not isinstance(place, Watched):
        return traverse(place, path, default, delimiter)
    reads, kind, data = place._reads, place._kind, place._data
    found = traverse(data, path, _NOTHING, delimiter)
    first = str(path).split(delimiter)[0]
    known = (kind,) in reads.notes or (kind, first) in reads.notes or first in place._own
    if not known:
        reads.note((f"{kind} at", str(path), delimiter), ABSENT if found is _NOTHING else frozen(found))
    return default if found is _NOTHING else found


def unwatched(place: Any) -> Any:
    """The mapping behind what is watched, for who notes its reads itself."""
    return place._data if isinstance(place, Watched) else place


def answer(question: tuple[Any, ...], data: Mapping[str, Mapping[Any, Any]]) -> bytes:
    """What the answer to a question about grains, pillar or options is, given these by kind."""
    kind, *rest = question
    if kind.endswith(" at"):
        path, delimiter = rest
        found = traverse(data[kind.removesuffix(" at")], path, _NOTHING, delimiter)
    elif rest:
        found = data[kind].get(rest[0], _NOTHING)
    else:
        found = data[kind]
    return ABSENT if found is _NOTHING else frozen(found)
