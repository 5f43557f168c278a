"""One root for many leaves: a signature over the root proves one minion's payload and nothing of the others'.

Hashing follows RFC 6962 section 2.1: SHA-256, leaves prefixed by 0x00 and inner nodes by 0x01, so that no inner
node can be passed off as a leaf. A leaf binds the minion's id to its payload, so no minion can use another's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from protocol.errors import SignatureError

MAX_PATH = 40
"""Longest path accepted: a tree of 2^40 minions is no tree of ours."""


def leaf(minion: str, payload: bytes) -> bytes:
    """The leaf of `payload` for `minion`."""
    name = minion.encode("utf-8")
    return hashlib.sha256(b"\0" + len(name).to_bytes(2, "big") + name + hashlib.sha256(payload).digest()).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def tree(leaves: Sequence[bytes]) -> tuple[bytes, list[tuple[bytes, ...]]]:
    """The root over `leaves` (at least one) and for each leaf its path.

    A path holds one sibling a level from the bottom up, each prefixed by one byte: 0 when the sibling is on the
    left, 1 when on the right; a level without sibling is left out.
    """
    level = list(leaves)
    paths: list[list[bytes]] = [[] for _ in level]
    groups: list[list[int]] = [[index] for index in range(len(level))]
    while len(level) > 1:
        above: list[bytes] = []
        merged: list[list[int]] = []
        for at in range(0, len(level) - 1, 2):
            left, right = level[at], level[at + 1]
            for index in groups[at]:
                paths[index].append(b"\1" + right)
            for index in groups[at + 1]:
                paths[index].append(b"\0" + left)
            above.append(_node(left, right))
            merged.append(groups[at] + groups[at + 1])
        if len(level) % 2:
            above.append(level[-1])
            merged.append(groups[-1])
        level, groups = above, merged
    return level[0], [tuple(path) for path in paths]


def root_from(leaf_hash: bytes, path: Sequence[bytes]) -> bytes:
    """The root that `path` leads to from `leaf_hash`. Raises SignatureError when the path is malformed."""
    if len(path) > MAX_PATH:
        raise SignatureError("the Merkle path is too long")
    current = leaf_hash
    for step in path:
        if len(step) != 33 or step[0] > 1:
            raise SignatureError("the Merkle path is malformed")
        current = _node(current, step[1:]) if step[0] else _node(step[1:], current)
    return current
