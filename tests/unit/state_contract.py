"""What every state must keep to, as one check: a dry run touches nothing and tells the truth, a second run is empty."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.assignment import BlobRef
from protocol.data import Data
from states.context import Context
from states.contract import Plan
from states.registry import check_arguments, find_state

Entry = tuple[str, int, int, int, bytes]
"""Kind, mode, uid, gid, content (of a link: where it leads)."""


def context(root: Path, *, sources: Mapping[str, bytes] | None = None, **options: Any) -> Context:
    """A Context for the private folder `root`; its state_dir lies beside it. `sources` are `salt://` contents."""
    state_dir = root.parent / f"{root.name}.state"
    state_dir.mkdir(mode=0o700, exist_ok=True)
    refs = {}
    for source, content in (sources or {}).items():
        ref = BlobRef(hashlib.sha256(content).hexdigest(), len(content))
        (state_dir / ref.digest).write_bytes(content)
        refs[source] = ref
    options.setdefault("grains", {})
    return Context(
        minion="m1",
        root=root,
        state_dir=state_dir,
        sources=refs,
        blob_path=lambda ref: state_dir / ref.digest,
        **options,
    )


def plan(ctx: Context, state_name: str, name: str, args: Mapping[str, Data]) -> Plan:
    """The plan of a state, its arguments checked and converted as the engine does."""
    found = find_state(state_name)
    return found.call(ctx, name, **check_arguments(state_name, found.signature, args))


def check(
    state_name: str,
    name: str,
    args: Mapping[str, Data],
    root: Path,
    *,
    sources: Mapping[str, bytes] | None = None,
    idempotent: bool = True,
    **options: Any,
) -> Plan:
    """Plan dry, apply, plan again; gives the plan that was applied. Raises AssertionError when

    - the dry run changed something under `root`, or foretells other changes than the apply makes,
    - something changed that no change tells of, or a change tells of a path that is as it was,
    - the second run is not empty (unless `idempotent` is false, for states that act each time).
    """
    ctx = context(root, sources=sources, **options)
    before = snapshot(root)
    ctx.test = True
    dry = plan(ctx, state_name, name, args)
    assert snapshot(root) == before, "the dry run changed something"
    ctx.test = False
    wet = plan(ctx, state_name, name, args)
    assert [change.foretold() for change in dry.changes] == [change.foretold() for change in wet.changes]
    for action in wet.actions:
        action.perform()
    _check_truth(wet, before, snapshot(root))
    if idempotent:
        again = plan(ctx, state_name, name, args)
        assert again.changes == (), "a second run would change something"
        ctx.test = True
        assert plan(ctx, state_name, name, args).changes == ()
    return wet


def snapshot(root: Path) -> dict[str, Entry]:
    """All below `root`: absolute path as states see it -> what it is."""
    found: dict[str, Entry] = {}
    for above, folders, names in os.walk(root):
        for each in [*folders, *names]:
            path = Path(above, each)
            found[f"/{path.relative_to(root)}"] = _entry(path)
    return found


def _entry(path: Path) -> Entry:
    now = path.lstat()
    owner = (stat.S_IMODE(now.st_mode), now.st_uid, now.st_gid)
    if stat.S_ISLNK(now.st_mode):
        return ("link", *owner, str(path.readlink()).encode())
    if stat.S_ISREG(now.st_mode):
        return ("file", *owner, path.read_bytes())
    return ("directory" if stat.S_ISDIR(now.st_mode) else "special", *owner, b"")


def _check_truth(done: Plan, before: Mapping[str, Entry], after: Mapping[str, Entry]) -> None:
    differing = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    subjects = {os.path.normpath(change.subject) for change in done.changes if change.subject.startswith("/")}
    for path in differing:
        above = {path, *(str(parent) for parent in Path(path).parents)}
        moved = {str(change.new) for change in done.changes} | {str(change.old) for change in done.changes}
        assert above & (subjects | moved), f"{path} changed and no change tells of it"
    for change in done.changes:
        subject = os.path.normpath(change.subject)
        if change.subject.startswith("/") and change.kind != "run" and change.aspect != "times":
            touched = any(path == subject or path.startswith(f"{subject}/") for path in differing)
            assert touched, f"{change.foretold()} is told and nothing changed there"
