"""States that do nothing to the host, for trying out requisites, orders and dry runs; named and worded as Salt's."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final, Literal

from protocol.data import Data
from protocol.errors import StackmasterError, StateError
from protocol.results import Change
from states.context import Context
from states.contract import Action, DeedError, Plan
from states.registry import state

_KINDS: Final = ("boolean", "integer", "string", "listing", "dictionary")


class WantedError(StackmasterError):
    """The failure that was asked for: certain in a dry run too, whatever comes before."""

    code = "state.wanted"


def _watched(ctx: Context, name: str) -> Plan:
    """What a changed watched state brings: a change that says so; in a dry run too it is well, as on Salt."""
    change = Change("run", name, "watch", new="a watched state changed")
    told = "Watch statement fired."
    return Plan((Action(change, lambda: None),), told, foretold=told, promised=True)


def _pretended(name: str, perform: Callable[[], Data]) -> tuple[Action, ...]:
    change = Change("run", name, "testing", old="Unchanged", new="Something pretended to change")
    return (Action(change, perform),)


@state("test.nop", watch=_watched)
def nop(ctx: Context, name: str, *, comment: str = "Success!", **further: Data) -> Plan:
    """Do nothing and succeed; a place for requisites to hang on."""
    return Plan(comment=comment)


@state("test.succeed_without_changes", watch=_watched)
def succeed_without_changes(ctx: Context, name: str, *, comment: str = "Success!", **further: Data) -> Plan:
    """Succeed and change nothing."""
    return Plan(comment=comment)


@state("test.fail_without_changes", watch=_watched)
def fail_without_changes(ctx: Context, name: str, *, comment: str = "Failure!", **further: Data) -> Plan:
    """Fail and change nothing."""
    raise WantedError("If we weren't testing, this would be a failure!" if ctx.test else comment)


@state("test.succeed_with_changes", watch=_watched)
def succeed_with_changes(ctx: Context, name: str, *, comment: str = "Success!", **further: Data) -> Plan:
    """Succeed and report a pretended change."""
    foretold = "If we weren't testing, this would be successful with changes"
    return Plan(_pretended(name, lambda: None), comment, foretold=foretold)


@state("test.fail_with_changes", watch=_watched)
def fail_with_changes(ctx: Context, name: str, *, comment: str = "Failure!", **further: Data) -> Plan:
    """Report a pretended change, and fail."""
    foretold = "If we weren't testing, this would be failed with changes"
    return Plan(_pretended(name, _failing(comment)), comment, foretold=foretold)


@state("test.configurable_test_state", watch=_watched)
def configurable_test_state(
    ctx: Context,
    name: str,
    *,
    changes: bool | Literal["Random"] = True,
    result: bool | Literal["Random"] = True,
    comment: str = "",
    warnings: list[str] | None = None,
    allow_test_mode_failure: bool = False,
) -> Plan:
    """Come to `result` with or without `changes` (True, False or 'Random'), with `comment` and `warnings`.

    A dry run foretells success, unless `allow_test_mode_failure`.
    """
    changed = random.choice((True, False)) if changes == "Random" else changes
    good = random.choice((True, False)) if result == "Random" else result
    told = tuple(warnings or ())
    foretold = comment or "This is a test"
    if not changed:
        if not good and (allow_test_mode_failure or not ctx.test):
            raise WantedError(foretold if ctx.test else comment)
        return Plan(comment=foretold if ctx.test else comment, warnings=told)
    promised = False if allow_test_mode_failure and not good else None
    return Plan(_pretended(name, _done if good else _failing(comment)), comment, told, foretold, promised)


@state("test.show_notification", watch=_watched)
def show_notification(ctx: Context, name: str, *, text: str, **further: Data) -> Plan:
    """Show `text` among the results."""
    return Plan(comment=text)


@state("test.check_pillar", watch=_watched)
def check_pillar(
    ctx: Context,
    name: str,
    *,
    present: list[str] | None = None,
    boolean: list[str] | None = None,
    integer: list[str] | None = None,
    string: list[str] | None = None,
    listing: list[str] | None = None,
    dictionary: list[str] | None = None,
    verbose: bool = False,
    kinds: Mapping[str, Data] | None = None,
) -> Plan:
    """Succeed when the pillar has every key of `present` (`a:b:c` for nested ones), and those of the other lists with
    values of that type.

    The pillar stays on the master: the compiler gives `kinds`, the type of each key that is asked for and exists
    (see `pillar_kind`). Raises StateError with one line for each key that is missing or of another type.
    """
    if kinds is None:
        raise StateError("what the pillar holds was not told", help="compile the state tree again")
    wanted = dict(zip(_KINDS, (boolean, integer, string, listing, dictionary), strict=True))
    wrong = [f"Pillar key {key} is missing." for key in present or [] if key not in kinds]
    for kind, keys in wanted.items():
        for key in keys or []:
            found = kinds.get(key)
            if found is None:
                wrong.append(f"Pillar key {key} is missing.")
            elif found != kind:
                wrong.append(f"Pillar key {key} is {found}, not {kind}.")
    if wrong:
        raise WantedError("\n".join(wrong))
    return Plan(comment="The following pillar keys are fine: " + ", ".join(sorted(kinds)) if verbose else "")


def pillar_kind(value: Data) -> str:
    """The name that `test.check_pillar` has for the type of a pillar value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, str):
        return "string"
    if isinstance(value, Mapping):
        return "dictionary"
    if isinstance(value, list | tuple):
        return "listing"
    return "nothing" if value is None else type(value).__name__


def _done() -> Data:
    return None


def _failing(comment: str) -> Callable[[], Data]:
    def fail() -> Data:
        raise DeedError(comment)

    return fail
