"""What the renderer stateconf makes of a file: ids of its own, parameters, an implicit order, a goal and a start.

The rules are Salt's (salt/renderers/stateconf.py): an id `.x` becomes `<sls>::x`, also where a requisite names it; the
arguments of `stateconf.set` are parameters that the file's template, and by `extend` another file, can use and set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from master.compiler.renderers import StateConf
from master.compiler.yaml import List, Map, line_of
from protocol.errors import SlsError

SET: Final = "stateconf.set"
_NOT_IDS: Final = ("include", "exclude", "extend")
_BEFORE: Final = frozenset({"require", "watch", "listen", "onchanges", "onfail"})
_AFTER: Final = frozenset(f"{kind}_in" for kind in _BEFORE)
_REFERENCES: Final = _BEFORE | _AFTER | {"use", "use_in"}


class Parameters:
    """The parameters that the files of one compilation declare, and those that `extend` sets in their place."""

    def __init__(self) -> None:
        self._declared: dict[str, dict[str, Any]] = {}
        self._extended: dict[str, dict[str, Any]] = {}

    def gather(self, data: Map, *, extending: bool = False) -> None:
        """Take the parameters of every `stateconf.set` in `data`."""
        for identifier, states in data.items():
            if identifier == "extend" and isinstance(states, Map) and not extending:
                self.gather(states, extending=True)
            arguments = _set_arguments(states)
            if arguments is None:
                continue
            places = self._extended if extending else self._declared
            own = places.setdefault(identifier, {})
            own.update({name: value for item in arguments if isinstance(item, dict) for name, value in item.items()})
            if not extending:
                own.update(self._extended.get(identifier, {}))

    def names(self, sls: str) -> dict[str, Any]:
        """What templates of `sls` know: its parameters by their id, those of others by their full id."""
        return {identifier.removeprefix(f"{sls}::"): dict(values) for identifier, values in self._declared.items()}


def prepared(data: Map, sls: str, options: StateConf, parameters: Parameters, *, extracting: bool) -> Map:
    """`data`, changed in place, as the language reads it. Raises SlsError."""
    for identifier, states in list(data.items()):
        if isinstance(states, str) and identifier not in _NOT_IDS:
            data[identifier] = _map({states: _list([])}, line_of(data, identifier))
    _absolute_files(data, sls)
    if options.ordered and not extracting:
        _order(data)
    if options.start and not extracting:
        _add_start(data)
    if options.goal and not extracting:
        _add_goal(data)
    if isinstance(data.get("extend"), Map):
        _rename(data["extend"], sls)
    renamed = _rename(data, sls)
    parameters.gather(renamed)
    return renamed


def _states(data: Map) -> Iterator[tuple[str, str, List]]:
    """Id, state and arguments of everything that is declared."""
    for identifier, states in data.items():
        if identifier in _NOT_IDS or not isinstance(states, Map) or str(identifier).startswith("__"):
            continue
        for state, arguments in states.items():
            if isinstance(arguments, List):
                yield identifier, state, arguments


def _references(arguments: List, kinds: frozenset[str]) -> Iterator[tuple[Map, str]]:
    """Each `{state: id}` among the requisites of these kinds, with its state."""
    for item in arguments:
        if not isinstance(item, Map):
            continue
        for kind, values in item.items():
            if kind in kinds and isinstance(values, List):
                for value in values:
                    if isinstance(value, Map) and len(value) == 1:
                        yield value, next(iter(value))


def _rename(data: Map, sls: str) -> Map:
    """The same with full ids; a state without a name keeps its short id as its name."""
    for _, _, arguments in _states(data):
        for reference, state in _references(arguments, _REFERENCES):
            if isinstance(reference[state], str) and reference[state].startswith("."):
                reference[state] = _full(reference[state], sls)
    for identifier, state, arguments in _states(data):
        named = any(isinstance(item, Map) and "name" in item for item in arguments)
        if str(identifier).startswith(".") and _family(state) != "stateconf" and not named:
            arguments.insert(0, _map({"name": identifier.lstrip(".")}, arguments.line))
            arguments.lines.insert(0, arguments.line)
    entries = list(data.items())
    lines = dict(data.lines)
    data.clear()
    for identifier, states in entries:
        full = _full(identifier, sls) if isinstance(identifier, str) and identifier.startswith(".") else identifier
        if full in data:
            raise SlsError(f"the id {identifier!r} becomes {full!r}, which there is already")
        data[full] = states
        data.lines[full] = lines.get(identifier, data.line)
    return data


def _full(identifier: str, sls: str) -> str:
    """`.x` of the file a.b is `a.b::x`; `.c::x` is `a.c::x`, with each further dot one level up."""
    if "::" in identifier:
        return _relative(identifier, sls)
    return "::".join(_relative(identifier, f"{sls}.").rsplit(".", 1))


def _relative(name: str, sls: str) -> str:
    found = re.match(r"(\.+)(.*)$", name)
    assert found is not None
    parts = sls.split(".")
    if len(found[1]) > len(parts):
        raise SlsError(f"{name!r} leads above the top of the tree")
    return ".".join([*parts[: -len(found[1])], found[2]])


def _absolute_files(data: Map, sls: str) -> None:
    includes = data.get("include")
    for index, item in enumerate(includes if isinstance(includes, List) else ()):
        if isinstance(item, str) and item.startswith("."):
            data["include"][index] = _relative(item, sls)
    for item in data.get("exclude") or ():
        if isinstance(item, Map) and str(item.get("sls", "")).startswith("."):
            item["sls"] = _relative(item["sls"], sls)


def _order(data: Map) -> None:
    """Let every state require the one before it. Raises SlsError for requisites that go against that order."""
    after = [(identifier, _family(state)) for identifier, state, _ in _states(data)]
    before: list[tuple[str, str]] = []
    for identifier, state, arguments in _states(data):
        after.pop(0)
        for kinds, wrong, where in ((_BEFORE, after, "after"), (_AFTER, before, "before")):
            for reference, family in _references(arguments, kinds):
                if (reference[family], family) in wrong:
                    message = f"{identifier!r} names {reference[family]!r}, which is {where} it in an ordered file"
                    raise SlsError(message, help="change the order, or take the -o out of the first line")
        if any(isinstance(item, Map) and "names" in item for item in arguments):
            raise SlsError(f"'names' of {identifier!r} has no place in an ordered file", help="write a loop of states")
        if before:
            _require(arguments, _map({before[-1][1]: before[-1][0]}, arguments.line))
        before.append((identifier, _family(state)))


def _require(arguments: List, reference: Map) -> None:
    for item in arguments:
        if isinstance(item, Map) and isinstance(item.get("require"), List):
            item["require"].insert(0, reference)
            item["require"].lines.insert(0, reference.line)
            return
    arguments.append(_map({"require": _list([reference], arguments.line)}, arguments.line))
    arguments.lines.append(arguments.line)


def _add_start(data: Map) -> None:
    first = next(_states(data), None)
    if first is None:
        return
    identifier, state, arguments = first
    item = _map({"require_in": _list([_map({_family(state): identifier}, arguments.line)])}, arguments.line)
    data[".start"] = _map({SET: _list([item], arguments.line)}, arguments.line)


def _add_goal(data: Map) -> None:
    if ".goal" in data:
        raise SlsError("the id '.goal' is the file's own goal state", help="use another id, or -G in the first line")
    required = _list([_map({_family(state): identifier}, data.line) for identifier, state, _ in _states(data)])
    data[".goal"] = _map({SET: _list([_map({"require": required}, data.line)], data.line)}, data.line)


def _set_arguments(states: Any) -> Any:
    if not isinstance(states, Map):
        return None
    found = states.get("stateconf", states.get(SET))
    return found if isinstance(found, List) else None


def _family(state: str) -> str:
    return str(state).partition(".")[0]


def _map(values: dict[Any, Any], line: int = 0) -> Map:
    made = Map(line)
    made.update(values)
    return made


def _list(values: list[Any], line: int = 0) -> List:
    made = List(line)
    made.extend(values)
    made.lines.extend([line] * len(values))
    return made
