"""Salt's result of a state, a mapping of name, changes, result and comment, as ours; and ours as Salt's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from protocol.data import Data
from protocol.errors import StateError
from protocol.results import Change, StepResult
from states.contract import Done

_DEEPEST = 16
_WANTED = "a state returns a mapping with name, changes (a mapping), result (True, False or None) and comment"


def done(state: str, subject: str, returned: Any) -> Done:
    """What the state `state` about `subject` returned, as its outcome. Raises StateError when it is no such mapping."""
    if not isinstance(returned, Mapping):
        raise StateError(f"{state} returned {type(returned).__name__}", help=_WANTED)
    missing = [key for key in ("changes", "result", "comment") if key not in returned]
    if missing:
        raise StateError(f"{state} returned a mapping without {missing[0]!r}", help=_WANTED)
    result = returned["result"]
    if result is not None and not isinstance(result, bool):
        raise StateError(f"{state} returned the result {result!r}", help=_WANTED)
    comment = returned["comment"]
    told = "\n".join(map(str, comment)) if isinstance(comment, list | tuple) else str(comment)
    warnings = returned.get("warnings") or ()
    return Done(
        comment=told,
        warnings=tuple(map(str, warnings if isinstance(warnings, list | tuple) else [warnings])),
        result=result,
        made=tuple(_changes(subject, returned["changes"])),
        skip_req=returned.get("skip_req") is True,
    )


def _changes(subject: str, changes: Any) -> Iterable[Change]:
    if not changes:
        return
    if not isinstance(changes, Mapping):
        yield Change("change", subject, "changes", new=plain(changes))
        return
    for key, value in changes.items():
        if isinstance(value, Mapping) and value.keys() and value.keys() <= {"old", "new", "diff"}:
            yield Change(
                "change", subject, str(key), plain(value.get("old")), plain(value.get("new")),
                str(value.get("diff") or ""),
            )  # fmt: skip
        elif key == "diff" and isinstance(value, str):
            yield Change("change", subject, "content", diff=value)
        else:
            yield Change("change", subject, str(key), new=plain(value))


def salt_result(result: StepResult) -> dict[str, Any]:
    """A step of ours as Salt's result, for custom code that calls a state of ours."""
    changes: dict[str, Any] = {}
    for change in result.changes:
        key = change.subject if change.subject != result.name else change.aspect or change.kind
        while key in changes:
            key += "'"
        told = {"old": change.old, "new": change.new, **({"diff": change.diff} if change.diff else {})}
        changes[key] = {**told, **({"details": change.details} if change.details is not None else {})}
    return {"name": result.name, "changes": changes, "result": result.result, "comment": result.comment}


def plain(value: Any, left: int = _DEEPEST) -> Data:
    """What custom code returned as plain data; what is none becomes text."""
    if value is None or isinstance(value, bool | float | str | bytes):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if left == 0:
        return str(value)[:1000]
    if isinstance(value, Mapping):
        return {str(key): plain(item, left - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | Set):
        return [plain(item, left - 1) for item in value]
    return str(value)
