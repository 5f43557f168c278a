"""Packages of several states installed together: those of `pkg.installed` that wait for nothing of one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from protocol.assignment import Chunk
from protocol.data import Data
from protocol.order import ORDERING

_FUNCTION: Final = "pkg.installed"
_OWN: Final = frozenset({"pkgs", "version"})
"""The arguments that may differ between states whose packages are installed together."""


def aggregated(chunks: Sequence[Chunk], *, usual: bool) -> tuple[Chunk, ...]:
    """`chunks`, which stand in execution order, with the packages of later ones also given to the first that may
    install them: one transaction does it all. The later ones stay, find their packages there and have results of
    their own, as on Salt.

    A state takes part when its option `aggregate` is true (`usual` when it has none), when it is called without a
    trial, a condition or a source of its own, and when all that it waits for comes before the first.
    """
    found = list(chunks)
    heads: list[int] = []
    for position, chunk in enumerate(chunks):
        if not _takes_part(chunk, usual):
            continue
        for head in heads:
            if _alike(chunks[head], chunk) and all(target < head for target in _waits_for(chunk)):
                own = _packages(found[head])
                packages = [*own, *(each for each in _packages(chunk) if each not in own)]
                found[head] = replace(found[head], args={**_others(found[head]), "pkgs": packages})
                break
        else:
            heads.append(position)
    return tuple(found)


def _takes_part(chunk: Chunk, usual: bool) -> bool:
    if chunk.function != _FUNCTION or chunk.options.get("aggregate", usual) is not True:
        return False
    if any(requisite.missing for requisite in chunk.requisites):
        return False
    conditional = any(option in chunk.options for option in ("unless", "onlyif", "creates", "parallel"))
    kinds = {requisite.kind for requisite in chunk.requisites if requisite.targets}
    plain = kinds <= {"require", "watch", "listen", "listen_in"}
    return plain and not conditional and chunk.trial < 0 and "sources" not in chunk.args


def _alike(head: Chunk, chunk: Chunk) -> bool:
    return _others(head) == _others(chunk)


def _others(chunk: Chunk) -> Mapping[str, Data]:
    return {name: value for name, value in chunk.args.items() if name not in _OWN}


def _waits_for(chunk: Chunk) -> Iterator[int]:
    for requisite in chunk.requisites:
        if requisite.kind in ORDERING:
            yield from requisite.targets


def _packages(chunk: Chunk) -> list[Data]:
    """What the chunk installs, as `pkgs` has it."""
    listed = chunk.args.get("pkgs")
    if isinstance(listed, list | tuple):
        return list(listed)
    version = chunk.args.get("version")
    return [chunk.name if version is None else {chunk.name: version}]
