"""What differs between our results and Salt's, by kind; comments are compared by what they mean."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Meaning = tuple[Any, ...]
_Reader = Callable[["re.Match[str]"], Meaning]


def differences(ours: Mapping[str, Any], salts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every difference as its kind and what it is; empty when both agree."""
    if "errors" in salts:
        return [] if "errors" in ours else [("ran", f"Salt refuses: {salts['errors'][0]}")]
    if "errors" in ours:
        return [("refused", " ".join(ours["errors"])[:300])]
    return [*_of_order(ours, salts), *_of_results(ours["return"], salts["return"])]


def _of_order(ours: Mapping[str, Any], salts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    theirs = salts.get("low_order")
    if theirs is not None and list(theirs) != list(ours["low_order"]):
        yield "compiled order", f"ours {ours['low_order']}, Salt's {theirs}"


def _of_results(ours: Mapping[str, Any], salts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for tag in (tag for tag in salts if tag not in ours):
        yield "missing", tag
    for tag in (tag for tag in ours if tag not in salts):
        yield "additional", tag
    for tag in (tag for tag in salts if tag in ours):
        own, other = ours[tag], salts[tag]
        for key, kind in _KINDS.items():
            if key in other and own[key] != other[key]:
                yield kind, f"{tag}: ours {own[key]!r}, Salt's {other[key]!r}"
        if meaning(own["comment"]) != meaning(other["comment"]):
            yield "comment", f"{tag}: ours {own['comment']!r}, Salt's {other['comment']!r}"


_KINDS: Final = {
    "result": "result",
    "has_changes": "changes",
    "__run_num__": "run number",
    "__state_ran__": "whether it was called",
}


def meaning(comment: str) -> Meaning:
    """What a comment says, in whatever words: each of its lines by the first of _MEANINGS that fits, else itself."""
    found: list[Meaning] = []
    text = _LISTED.sub(lambda listed: "\n".join(ast.literal_eval(listed[0])), comment.strip())
    retried = _RETRIED.search(text)
    if retried:
        return (*meaning(text[: retried.start()]), ("would be retried", *retried.groups()))
    for line in text.split("\n"):
        for pattern, read in _MEANINGS:
            match = pattern.search(line)
            if match:
                found.append(read(match))
                break
        else:
            if line.strip():
                found.append(("words", line.strip()))
    return tuple(found)


_LISTED: Final = re.compile(r"\['[^\[\]]*'\]")
"""Several comments as Salt prints them when a retry meets a condition that skips the state."""

_RETRIED: Final = re.compile(
    r"The state would be retried every (\d+) seconds \(with a splay of up to (\d+) seconds\)"
    r" a maximum of (\d+) times or until a result of (\w+) is returned"
)


def _failed(match: re.Match[str]) -> Meaning:
    """The names come in any order."""
    return "a requisite failed", frozenset(name.strip() for name in match[1].split(","))


def _attempt(match: re.Match[str]) -> Meaning:
    return ("attempt", match[1], match[2], meaning(match[3]))


def _as(name: str) -> _Reader:
    return lambda match: (name, *match.groups())


_MEANINGS: Final[tuple[tuple[re.Pattern[str], _Reader], ...]] = (
    (re.compile(r'^Attempt (\d+): Returned a result of "(\w+)", with the following comment: "(.*?)"?$'), _attempt),
    (re.compile(r"^One or more requisite failed: (.*)$"), _failed),
    (re.compile(r"requisites were not found"), _as("a requisite is missing")),
    (re.compile(r"not run because onfail req"), _as("nothing failed")),
    (re.compile(r"not run because none of the onchanges reqs changed"), _as("nothing changed")),
    (re.compile(r"requisites were skipped by another state"), _as("skipped by another state")),
    (re.compile(r"^No changes detected"), _as("nothing would change")),
    (re.compile(r'^Command "(.*?)" run'), _as("command run")),
    (re.compile(r'^Command "(.*?)" would have been executed'), _as("command would be run")),
    (re.compile(r"^check_cmd determined the state (succeeded|failed)"), _as("check_cmd")),
    (re.compile(r"^(onlyif|unless) condition is (true|false)"), _as("condition")),
    (re.compile(r"^Watch statement fired"), _as("watch")),
    (re.compile(r"^Referenced state (.*) does not exist"), _as("no such state")),
    (re.compile(r"(?i)^State '(\S+)' was not found|^there is no state '(\S+)'"), _as("unknown state")),
)
