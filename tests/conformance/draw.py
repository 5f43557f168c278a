"""Draws random state trees of the kind of requisites.json: every requisite, order, names, conditions, dry runs."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import yaml

_FUNCTIONS = (
    ("test.succeed_with_changes", 30),
    ("test.succeed_without_changes", 24),
    ("test.nop", 12),
    ("test.fail_without_changes", 14),
    ("test.fail_with_changes", 8),
    ("cmd.run", 8),
)
_REQUISITES = (
    ("require", 9),
    ("onchanges", 7),
    ("watch", 7),
    ("require_in", 6),
    ("onfail", 5),
    ("prereq", 3),
    ("watch_in", 3),
    ("onfail_all", 3),
    ("onfail_any", 3),
    ("onchanges_any", 3),
    ("prereq_in", 2),
    ("require_any", 3),
    ("listen_in", 2),
    ("watch_any", 2),
    ("onfail_in", 2),
    ("onchanges_in", 2),
    ("listen", 2),
)
_ORDERS = (1, 2, 5, 10, 50, -1, -2, "first", "last")
_CONDITIONS = ("true", "false", ["true", "true"], ["true", "false"], ["false", "false"])

Body = dict[str, Any]


class Drawing:
    """Draws one case with the random numbers of `random`; `wide` adds what is rare: retry, use, globs, parallel."""

    def __init__(self, random: random.Random, *, wide: bool) -> None:
        self._random = random
        self._wide = wide

    def case(self, name: str) -> dict[str, Any]:
        """One case: its files and how it is applied."""
        chosen = self._random
        ids = [f"s{number}" for number in range(chosen.randint(3, 8))]
        functions = {identifier: self._one_of(_FUNCTIONS) for identifier in ids}
        if self._wide:
            for identifier in ids:
                if chosen.random() < 0.1:
                    functions[identifier] = "test.configurable_test_state"
        included = chosen.choice([[], [], [], ["inc1"], ["inc1", "inc2"]])
        files: dict[str, Body] = {file: {} for file in ("main", *included)}
        if included:
            files["main"]["include"] = included
        chosen.shuffle(ids)
        for identifier in ids:
            file = chosen.choice(list(files))
            files[file][identifier] = {functions[identifier]: self._arguments(identifier, functions, included)}
        if chosen.random() < 0.15:
            files["main"]["extend"] = self._extend(functions)
        if included and chosen.random() < 0.15:
            files["main"]["exclude"] = [chosen.choice([{"sls": included[0]}, {"id": chosen.choice(ids)}])]
        texts = {f"{file}.sls": yaml.safe_dump(body, sort_keys=False) for file, body in files.items()}
        test = chosen.random() < 0.25
        call = {"fun": "state.sls", "args": ["main"], "kwargs": {"test": True} if test else {}}
        return {"id": name, "files": texts, "call": call}

    def _one_of(self, weighted: tuple[tuple[str, int], ...]) -> str:
        names, weights = zip(*weighted, strict=True)
        return str(self._random.choices(names, weights)[0])

    def _arguments(self, identifier: str, functions: dict[str, str], included: list[str]) -> list[Any]:
        chosen = self._random
        drawn: list[Any] = []
        if functions[identifier] == "cmd.run":
            drawn.append({"name": chosen.choice(["true", "false", f"echo {identifier}"])})
        elif chosen.random() < 0.15:
            drawn.append({"name": f"name_{identifier}"})
        elif chosen.random() < 0.12:
            drawn.append({"names": self._names(identifier)})
        for kind in dict.fromkeys(self._one_of(_REQUISITES) for _ in range(chosen.choice([0, 0, 1, 1, 1, 2, 3]))):
            references = self._references(identifier, functions, included, kind)
            drawn += [{kind: references}] if references else []
        if chosen.random() < 0.12:
            drawn.append({"order": chosen.choice(_ORDERS)})
        for condition in ("unless", "onlyif"):
            if chosen.random() < 0.05:
                drawn.append({condition: chosen.choice(_CONDITIONS)})
        if chosen.random() < 0.04:
            drawn.append({"check_cmd": [chosen.choice(["true", "false"])]})
        if chosen.random() < 0.05:
            drawn.append({"failhard": True})
        if self._wide:
            drawn += self._rare(identifier, functions)
        return drawn

    def _names(self, identifier: str) -> list[Any]:
        names: list[Any] = [f"{identifier}_a", f"{identifier}_b"]
        if self._wide and self._random.random() < 0.4:
            names[1] = {names[1]: [self._random.choice([{"order": 3}, {"failhard": True}, {"unless": "true"}])]}
        return names

    def _rare(self, identifier: str, functions: dict[str, str]) -> list[Any]:
        chosen = self._random
        drawn: list[Any] = []
        if functions[identifier] == "test.configurable_test_state":
            drawn += [{"changes": chosen.random() < 0.5}, {"result": chosen.random() < 0.7}]
            if chosen.random() < 0.3:
                drawn.append({"allow_test_mode_failure": True})
        if chosen.random() < 0.07:
            retry = [True, {"attempts": 2}, {"attempts": 3, "until": False}, {"attempts": "x"}, False]
            given = chosen.choice(retry)
            given = {"attempts": 2, "interval": 0} if given is True else given
            drawn.append({"retry": {**given, "interval": 0} if isinstance(given, dict) else given})
        if chosen.random() < 0.05:
            used = self._reference(functions, sorted(functions), strings=False)
            drawn.append({chosen.choice(["use", "use_in"]): [used]})
        if chosen.random() < 0.04:
            drawn.append({"creates": chosen.choice(["/", "/no/such", ["/"], ["/", "/no/such"]])})
        if chosen.random() < 0.05:
            drawn.append({"parallel": True})
        if chosen.random() < 0.04:
            drawn.append({"failhard": False})
        return drawn

    def _references(self, own: str, functions: dict[str, str], included: list[str], kind: str) -> list[Any]:
        """What `own` refers to: mostly those whose number keeps the requisites from running in a circle."""
        chosen = self._random
        later = kind.endswith("_in") != (kind == "prereq") and kind != "prereq_in"
        near = [each for each in functions if (each > own if later else each < own)]
        known = sorted(functions if chosen.random() < 0.01 else near)
        if not known:
            return [{"test": "missing"}] if chosen.random() < 0.05 else []
        strings = not kind.endswith("_in")
        found = [self._reference(functions, known, strings=strings) for _ in range(chosen.choice([1, 1, 1, 2, 2, 3]))]
        if chosen.random() < 0.008:
            found.append({"test": "missing"})
        if included and chosen.random() < (0.06 if self._wide else 0.02) and not kind.endswith("_in"):
            found.append({"sls": chosen.choice([*included, "inc*"] if self._wide else included)})
        if self._wide and chosen.random() < 0.04 and not kind.endswith("_in"):
            found.append({"test": chosen.choice([f"{known[0]}*", "name_*", "s?_a"])})
        return list({json.dumps(each): each for each in found}.values())

    def _reference(self, functions: dict[str, str], known: list[str], *, strings: bool) -> Any:
        target = self._random.choice(known)
        if strings and self._random.random() < 0.1:
            return target
        return {functions[target].partition(".")[0]: target}

    def _extend(self, functions: dict[str, str]) -> Body:
        target = self._random.choice(sorted(functions))
        changed = self._random.choice(
            [
                {"order": self._random.choice([1, 99])},
                {"name": f"extname_{target}"},
                {"require": [self._reference(functions, sorted(functions), strings=False)]},
            ]
        )
        return {target: {functions[target].partition(".")[0]: [changed]}}


def drawn(seed: int, count: int, *, wide: bool) -> list[dict[str, Any]]:
    """`count` cases, the same ones for the same seed."""
    drawing = Drawing(random.Random(seed), wide=wide)
    letter = "wide" if wide else "drawn"
    return [drawing.case(f"{letter}{seed}-{number:04}") for number in range(count)]


def main() -> None:
    """Write cases to a file; another program adds what Salt made of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--wide", action="store_true")
    given = parser.parse_args()
    cases = drawn(given.seed, given.count, wide=given.wide)
    given.file.write_text(json.dumps({"cases": cases}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
