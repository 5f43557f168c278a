"""What may be done next with an assignment's chunks, given the results so far: a state machine without I/O.

It serves the minion's engine, which takes one step after the other (`next`), and orchestrations on the master, which
may start everything that is `ready` at once. The caller does what a Decision says and reports back:

    while (step := walk.next()) is not None:
        position, decision = step
        Call, CallWatch, Listen   walk.started(position), do it, walk.finished(position, result)
        Skip, Fail                walk.finished(position, not_called(walk.chunk(position), decision, now))
        Pretest                   walk.started(position), plan it as a dry run, walk.tested(position, result)

The rules are Salt 3008's, save that a reference which nothing answers to fails its own chunk only (Salt 3006); in a
strict compilation there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from protocol.assignment import Chunk
from protocol.decisions import Call, CallWatch, Decision, Fail, Listen, Pretest, Skip, not_called
from protocol.errors import SlsError, Where
from protocol.order import ORDERING, arrange, execution_order
from protocol.results import StepResult
from protocol.verdict import Outcome, Verdict, judge

__all__ = [
    "Call",
    "CallWatch",
    "Decision",
    "Fail",
    "Listen",
    "Pretest",
    "Skip",
    "Walk",
    "arrange",
    "execution_order",
    "not_called",
]


_SKIPPED: Final[Mapping[Verdict, str]] = {
    "no change foretold": "No changes detected",
    "no failure": "State was not run because onfail req did not change",
    "no change": "State was not run because none of the onchanges reqs changed",
    "skipped by another": "State was not run because requisites were skipped by another state",
}

Failhard = Callable[[Chunk], bool]
"""Whether a failure of this chunk ends the run."""


def _failhard_option(chunk: Chunk) -> bool:
    return chunk.options.get("failhard") is True


class Walk:
    """The way through `chunks`, which stand in execution order (`arrange`). Raises SlsError when they do not.

    Positions count from 0: below `len(chunks)` they are chunks, from there on the listener of chunk
    `position - len(chunks)`, and from `2 * len(chunks)` reports of listen references that nothing answers to.
    `test`: a dry run, in which failhard stops nothing.
    """

    def __init__(self, chunks: Sequence[Chunk], *, test: bool = False, failhard: Failhard = _failhard_option) -> None:
        self._chunks = tuple(chunks)
        self._test = test
        self._failhard = failhard
        self._needs = [_needs(chunk) for chunk in self._chunks]
        self._testers: dict[int, list[int]] = {}
        self._check_sequence()
        self._sequence = _sequence(self._chunks, self._testers)
        self._reserved: dict[int, int] = {}
        self._settled: set[int] = set()
        self._results: dict[int, StepResult] = {}
        self._foretold: dict[int, StepResult] = {}
        self._busy: set[int] = set()
        self._testing: set[int] = set()
        self._first = 0
        self._stopped = False
        self._number = 0
        self._afterwards: dict[int, Decision] | None = None

    # --- what the caller asks ---------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether nothing is under way and nothing more is to come."""
        return not self._busy and not self._testing and self.next() is None

    @property
    def stopped(self) -> bool:
        """Whether a failure with failhard ended the run."""
        return self._stopped

    @property
    def results(self) -> list[StepResult]:
        """Every result so far, in the order in which they were finished."""
        return list(self._results.values())

    def chunk(self, position: int) -> Chunk:
        """The chunk at a position; for a listener, the chunk under the id `listener_<id>`."""
        size = len(self._chunks)
        if position < size:
            return self._chunks[position]
        if position < 2 * size:
            listener = self._chunks[position - size]
            return replace(listener, id=f"listener_{listener.id}", fun="mod_watch")
        kind, _, name = self._unheard()[position - 2 * size].partition(": ")
        return Chunk("Listen_Error", "Listen_Error", f"listen_{name}", f"listen_{kind}", "")

    def next(self) -> tuple[int, Decision] | None:
        """The first step that may start now; None when there is none: all done, or what is next waits for what is
        under way. Only chunks with the option `parallel` let later ones go first while they wait."""
        return next(self._candidates(overtaking=False), None)

    def ready(self) -> list[tuple[int, Decision]]:
        """Every step that may start now, in execution order; each once."""
        return list(dict(self._candidates(overtaking=True)).items())

    # --- what the caller reports ------------------------------------------------------------------------------

    def started(self, position: int, *, numbered: bool = False) -> None:
        """The step at `position` is under way (a Pretest when that is what was decided). With `numbered` its number
        is taken now, as Salt numbers what runs in parallel; else when it is finished."""
        if numbered:
            self._reserved[position] = self._number
            self._number += 1
        if position < len(self._chunks) and self._pretest_due(position):
            self._testing.add(position)
        else:
            self._busy.add(position)

    def tested(self, position: int, result: StepResult) -> None:
        """A Pretest is over; `result` is not kept, unless the chunk never runs because who tested it failed."""
        self._testing.discard(position)
        self._foretold[position] = result

    def finished(self, position: int, result: StepResult, *, calls: int = 1) -> StepResult:
        """The step at `position` is over after `calls` calls. Gives `result` with its number."""
        if position < len(self._chunks) and self._pretest_due(position):
            self._settled.add(position)
        if position not in self._reserved:
            self._number += calls
        numbered = replace(result, number=self._reserved.pop(position, self._number - 1))
        self._over(position, numbered)
        return numbered

    def resumed(self, position: int, result: StepResult) -> None:
        """The step at `position` ended in an earlier life of this run, with this result."""
        self._over(position, result)
        self._number = max(self._number, result.number + 1)

    def _over(self, position: int, result: StepResult) -> None:
        self._busy.discard(position)
        self._results[position] = result
        if not self._test and result.result is False and self._failhard(self.chunk(position)):
            self._stopped = True
            if self._afterwards is not None:
                self._afterwards = {p: left for p, left in self._afterwards.items() if not isinstance(left, Listen)}

    # --- how it decides ---------------------------------------------------------------------------------------

    def _candidates(self, *, overtaking: bool) -> Iterator[tuple[int, Decision]]:
        if not self._stopped:
            while self._first < len(self._sequence) and self._passed(*self._sequence[self._first]):
                self._first += 1
            for position, trial in self._sequence[self._first :]:
                if self._passed(position, trial) or position in self._busy or position in self._testing:
                    continue
                decision = self._at(position, trial)
                if decision is not None:
                    yield position, decision
                elif not overtaking and not self._chunks[position].options.get("parallel"):
                    return
        if not self._busy and not self._testing and (self._stopped or self._first == len(self._sequence)):
            if self._afterwards is None:
                self._afterwards = dict(self._listeners())
            for position, decision in self._afterwards.items():
                if position not in self._results:
                    yield position, decision

    def _passed(self, position: int, trial: bool) -> bool:
        """Whether nothing is left to do at one place of the sequence."""
        return not self._pretest_due(position) if trial else position in self._results

    def _at(self, position: int, trial: bool) -> Decision | None:
        """What may start at one place of the sequence, a chunk or its trial; None when it must wait."""
        needs = self._trial_needs(position) if trial else self._before(position)
        if trial != self._pretest_due(position) or not self._complete(needs):
            return None
        return self._decide(position, needs)

    def _trial_needs(self, position: int) -> dict[str, tuple[int, ...]]:
        """The needs of a trial: those of the chunk; of its prereqs those whose own trials come before."""
        needs, chunk = dict(self._needs[position]), self._chunks[position]
        all_of_them = needs.pop("prereq", ())
        prereqs = chunk.trial_needs if chunk.trial >= 0 else all_of_them
        return {**needs, "prereq": prereqs} if prereqs else needs

    def _pretest_due(self, target: int) -> bool:
        """Whether `target` must be planned as a dry run first: a chunk with a prereq on it has not run."""
        testers = self._testers.get(target, ())
        known = target in self._foretold or target in self._results
        return not known and any(tester not in self._results for tester in testers)

    def _before(self, position: int) -> dict[str, tuple[int, ...]]:
        """The needs of a chunk; one that is tested by a prereq also needs who tests it."""
        testers = self._testers.get(position)
        if not testers:
            return self._needs[position]
        needs = dict(self._needs[position])
        needs["require"] = (*needs.get("require", ()), *testers)
        return needs

    def _complete(self, needs: Mapping[str, tuple[int, ...]]) -> bool:
        return all(
            target in self._results or (kind == "prereq" and target in self._foretold)
            for kind, targets in needs.items()
            for target in targets
        )

    def _decide(self, position: int, needs: Mapping[str, tuple[int, ...]]) -> Decision:
        missing = _missing(self._chunks[position])
        if missing:
            return Fail("The following requisites were not found:\n" + missing)
        verdict = judge({kind: [self._outcome(kind, target) for target in targets] for kind, targets in needs.items()})
        if verdict == "fail":
            return self._failed(position, needs)
        if verdict in _SKIPPED:
            return Skip(_SKIPPED[verdict])
        if self._pretest_due(position):
            return Pretest()
        if verdict == "change unheard":
            return Call(" mod_watch was not run because requisites were skipped by another state")
        if verdict == "change":
            watched = (*needs.get("watch", ()), *needs.get("watch_any", ()))
            return CallWatch(tuple(target for target in watched if self._results[target].changes))
        return Call()

    def _outcome(self, kind: str, target: int) -> Outcome:
        result = self._foretold.get(target) if kind == "prereq" else None
        result = result or self._results[target]
        return Outcome(result.result, bool(result.changes), result.ran, result.skip_req)

    def _failed(self, position: int, needs: Mapping[str, tuple[int, ...]]) -> Decision:
        foretold = self._foretold.get(position)
        if foretold is not None:
            return Skip(foretold.comment, foretold.result, ran=True)
        names = []
        for target in (target for targets in needs.values() for target in targets):
            known = self._foretold.get(target) or self._results.get(target)
            name = f"{self._chunks[target].sls}.{self._chunks[target].id}"
            if name not in names and known is not None and known.result is False:
                names.append(name)
        return Fail("One or more requisite failed: " + ", ".join(names))

    # --- listeners --------------------------------------------------------------------------------------------

    def _listeners(self) -> Iterator[tuple[int, Decision]]:
        """Each chunk that listens to one that changed, once; whether it was itself called does not matter, save that
        Salt drops what was not called because its trial for a prereq said so."""
        size = len(self._chunks)
        heard: dict[int, list[int]] = {}
        for position, kind, target in self._listening():
            listener, source = (position, target) if kind == "listen" else (target, position)
            if self._changed(source) and listener not in self._settled:
                heard.setdefault(size + listener, []).append(source)
        for position, sources in heard.items():
            yield position, Listen(tuple(sources))
        for index, reference in enumerate(self._unheard()):
            yield 2 * size + index, Skip(f"Referenced state {reference} does not exist", result=False, ran=True)

    def _listening(self) -> Iterator[tuple[int, str, int]]:
        for position, chunk in enumerate(self._chunks):
            for kind in ("listen", "listen_in"):
                for requisite in chunk.requisites:
                    if requisite.kind == kind:
                        yield from ((position, kind, target) for target in requisite.targets)

    def _changed(self, position: int) -> bool:
        result = self._results.get(position)
        return result is not None and bool(result.changes)

    def _unheard(self) -> list[str]:
        """Listen references that nothing answers to; a bare name among them is ignored, as Salt does."""
        lost: dict[str, None] = {}
        for position, chunk in enumerate(self._chunks):
            for requisite in chunk.requisites:
                if requisite.kind == "listen" or (requisite.kind == "listen_in" and self._changed(position)):
                    lost.update((reference, None) for reference in requisite.missing if ": " in reference)
        return list(lost)

    def _check_sequence(self) -> None:
        for position, chunk in enumerate(self._chunks):
            for requisite in chunk.requisites:
                for target in requisite.targets:
                    prereq = requisite.kind == "prereq"
                    ordered = requisite.kind not in ORDERING or (position < target if prereq else target < position)
                    if not 0 <= target < len(self._chunks) or not ordered:
                        raise SlsError(
                            f"{chunk.tag}: its {requisite.kind} on position {target} does not fit the execution order",
                            where=Where(file=chunk.file, line=chunk.line),
                            help="compile the state tree again",
                        )
                    if prereq and position not in self._testers.setdefault(target, []):
                        self._testers[target].append(position)


def _sequence(chunks: Sequence[Chunk], testers: Mapping[int, Sequence[int]]) -> list[tuple[int, bool]]:
    """Every chunk (False) and every trial (True) in execution order; one without a place before who needs it."""
    places = {chunks[target].trial: target for target in testers if chunks[target].trial >= 0}
    late: dict[int, list[int]] = {}
    before: dict[int, int] = {}
    for target in sorted(testers):
        if chunks[target].trial < 0:
            before[target] = min(before.get(declaring, declaring) for declaring in testers[target])
            late.setdefault(before[target], []).append(target)
    sequence: list[tuple[int, bool]] = []
    placed = 0
    for position in range(len(chunks)):
        while position + placed in places:
            sequence.append((places[position + placed], True))
            placed += 1
        sequence += [(target, True) for target in sorted(late.get(position, ()), reverse=True)]
        sequence.append((position, False))
    return sequence


def _needs(chunk: Chunk) -> dict[str, tuple[int, ...]]:
    """The targets of each kind that says whether the chunk is called."""
    needs: dict[str, tuple[int, ...]] = {}
    for kind in ORDERING:
        targets = [target for requisite in chunk.requisites if requisite.kind == kind for target in requisite.targets]
        if targets:
            needs[kind] = tuple(dict.fromkeys(targets))
    return needs


def _missing(chunk: Chunk) -> str:
    """References that nothing answers to, laid out as Salt 3006 does; empty when there are none."""
    lines = []
    for requisite in chunk.requisites:
        if requisite.missing and requisite.kind in ORDERING:
            lines.append(f"{' ' * 19}{requisite.kind}:\n")
            lines.extend(f"{' ' * 23}{reference}\n" for reference in requisite.missing)
    return "".join(lines)
