"""Reports of minions: checked against what they were asked, scrubbed, stored once, and only then acknowledged."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from master.door import Rate
from master.jobs import Jobs, Live
from master.sessions import Session, Sessions
from master.store import jobrows, kept
from master.store.store import Store, Transaction
from protocol.data import Data
from protocol.errors import InputError, StoreError
from protocol.messages import EventRaised, JobProgress, JobUpdate, Report
from protocol.names import MinionId, event_tag
from protocol.results import Change, JobState, StepEnded, StepResult, StepStarted
from protocol.secrets import MASK, Scrubber

log = logging.getLogger("stackmaster.intake")

MOST_EVENTS = 200.0
"""Events a second that one minion may raise; ten times as many at once."""

MOST_STEPS = 100_000
"""Position that a step can have at most."""

MOST_EVENT = 64 * 1024
"""Bytes of what one event of a minion tells; a longer one is cut."""

EVENT_SHARE = 4 * 1024
"""Bytes of an event that count as one more event against MOST_EVENTS."""

MOST_REASON = 4_000
"""Characters of why a job ended so on a minion."""

MOST_OF_JOB = 64 * 1024 * 1024
"""Bytes of step results that one minion may have kept of one job; beyond it results are cut to BRIEF."""

MOST_CHANGES = 5_000
"""Changes of one step that are kept."""

BRIEF = 2_000
"""Bytes of a result that is cut because the job has so many."""

MOST_WAITING = 2_000
"""Reports that wait for the database above which nothing more is read from minions."""

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of these Reports; taken apart they need about ten times as much memory."""

CLOCK_TRUST = 7 * 86400.0
"""Seconds in the past in which a minion's time stamp is believed: it may have waited that long for the master."""

_UNASKED = frozenset({JobState.PENDING, JobState.LOST})
"""States that only the master gives."""


@dataclass(slots=True)
class _Update:
    """One change of a job's state on one minion, to be told to the jobs once it is stored."""

    live: Live
    minion: MinionId
    state: JobState
    value: Data


_ALWAYS = Scrubber()
"""Hides what always looks like a secret."""

_Write = Callable[[Transaction], bool]


class Intake:
    """What minions report."""

    def __init__(self, store: Store, sessions: Sessions, jobs: Jobs) -> None:
        self._store = store
        self._sessions = sessions
        self._jobs = jobs
        self._rate = Rate(MOST_EVENTS, 100 * MOST_EVENTS)
        self._bytes = 0

    def admits(self) -> bool:
        """Whether there is room for more reports."""
        return self._bytes < MOST_BYTES and self._store.backlog < MOST_WAITING

    def received(self, session: Session, report: Report, size: int) -> None:
        """Store a Report and acknowledge it after the commit; what does not belong to its sender has no effect."""
        writes: list[tuple[_Write, _Update | None]] = []
        for record in report.records:
            understood = self._understand(session, record)
            if understood is not None:
                writes.append(understood)

        def write(tx: Transaction) -> list[bool]:
            return [each(tx) for each, _ in writes]

        try:
            done = self._store.submit(write)
        except StoreError as error:
            log.error("a report of %s is not taken: %s", session.minion, error)
            self._sessions.cut(session.minion, "its reports cannot be stored now")
            return
        self._bytes += size
        updates = [update for _, update in writes]
        number = report.number

        def committed(future: asyncio.Future[list[bool]]) -> None:
            self._bytes -= size
            self._committed(session, number, updates, future)

        done.add_done_callback(committed)

    def _committed(
        self, session: Session, number: int, updates: list[_Update | None], done: asyncio.Future[list[bool]]
    ) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            # without its acknowledgement the minion keeps the report, and sends it again in its next session
            log.error("a report of %s was not stored: %s", session.minion, error)
            self._sessions.cut(session.minion, "its reports cannot be stored now")
            return
        for update, applied in zip(updates, done.result(), strict=True):
            if update is not None and applied:
                self._jobs.advanced(update.live, update.minion, update.state, update.value)
        self._sessions.acknowledge(session, number)

    def _understand(
        self, session: Session, record: JobUpdate | JobProgress | EventRaised
    ) -> tuple[_Write, _Update | None] | None:
        if isinstance(record, EventRaised):
            write = self._event(session, record)
            return None if write is None else (write, None)
        live = self._jobs.live(record.job)
        if live is None:
            return None
        if session.minion not in live.states:
            self._sessions.count_bad(session, "a report about a job of others")
            return None
        if isinstance(record, JobUpdate):
            return self._update(session, live, record)
        write = self._progress(session, live, record)
        return None if write is None else (write, None)

    def _update(self, session: Session, live: Live, record: JobUpdate) -> tuple[_Write, _Update] | None:
        if record.state in _UNASKED:
            self._sessions.count_bad(session, f"the state {record.state.value!r} of a job")
            return None
        minion = session.minion
        reason = live.scrubber.text(record.reason)[:MOST_REASON]
        value = stored_value(record.value, live)
        at = believed(record.at, time.time())

        def write(tx: Transaction) -> bool:
            return jobrows.advance(tx, live.job, minion, record.state, reason, value, at, live.request.cause)

        return write, _Update(live, minion, record.state, record.value)

    def _progress(self, session: Session, live: Live, record: JobProgress) -> _Write | None:
        minion, step, cause = session.minion, record.progress, live.request.cause
        if live.request.kind != "apply" or not 0 <= step.index < MOST_STEPS:
            self._sessions.count_bad(session, "a step that the job does not have")
            return None
        if isinstance(step, StepStarted):
            text = live.scrubber.text
            started = dataclasses.replace(step, name=text(step.name), id=text(step.id), tag=text(step.tag))
            begun = believed(step.started, time.time())
            return lambda tx: jobrows.step_started(tx, live.job, minion, started, begun, cause)
        result = scrubbed(_with_fewer_changes(step.result), live.scrubber)
        ended = StepEnded(step.index, self._affordable(live, minion, result))
        at = believed(step.result.started + step.result.duration, time.time())
        return lambda tx: jobrows.step_ended(tx, live.job, minion, ended, at, cause)

    def _affordable(self, live: Live, minion: MinionId, result: StepResult) -> StepResult:
        """A result as it can be kept: the first MOST_OF_JOB bytes of a job whole, then, and on a full disk, only what
        became of each."""
        spent = live.spent.get(minion, 0)
        whole = spent < MOST_OF_JOB and not self._store.full
        fits = kept.shortened(result, kept.MOST_KEPT if whole else BRIEF)
        live.spent[minion] = spent + kept.size(fits)
        return fits

    def _event(self, session: Session, record: EventRaised) -> _Write | None:
        tag = f"minion/{session.minion}/{record.tag}"
        try:
            event_tag(tag)
        except InputError:
            self._sessions.count_bad(session, "an event whose tag is none")
            return None
        packed = kept.pack(_ALWAYS.data(record.data), MOST_EVENT)
        if not self._rate.allows(session.minion, 1 + len(packed) / EVENT_SHARE):
            self._sessions.counters.events += 1
            return None
        data = kept.mapping(packed)
        at = believed(record.at, time.time())
        return lambda tx: bool(tx.event(tag, data, at))


def _with_fewer_changes(result: StepResult) -> StepResult:
    """A result with at most MOST_CHANGES: each one is looked through for secrets, while everybody waits."""
    left = len(result.changes) - MOST_CHANGES
    if left <= 0:
        return result
    said = f"there were {left} more changes, which are left out"
    return dataclasses.replace(result, changes=result.changes[:MOST_CHANGES], warnings=(*result.warnings[:100], said))


def believed(at: float, now: float) -> float:
    """A minion's time stamp, or `now` when its clock cannot be right (both in seconds since the epoch)."""
    return at if now - CLOCK_TRUST <= at <= now else now


def stored_value(value: Data, live: Live) -> Data:
    """What the store and the events may have of a function's return value."""
    if value is None:
        return None
    return MASK if live.secret else live.scrubber.data(value)


def scrubbed(result: StepResult, scrubber: Scrubber) -> StepResult:
    """A step's result without the job's secrets."""
    text = scrubber.text
    return dataclasses.replace(
        result,
        tag=text(result.tag),
        id=text(result.id),
        name=text(result.name),
        comment=text(result.comment),
        changes=tuple(_scrub_change(change, scrubber) for change in result.changes),
        warnings=tuple(text(warning) for warning in result.warnings),
    )


def _scrub_change(change: Change, scrubber: Scrubber) -> Change:
    return Change(
        change.kind,
        scrubber.text(change.subject),
        scrubber.text(change.aspect),
        scrubber.data(change.old),
        scrubber.data(change.new),
        scrubber.text(change.diff),
        scrubber.data(change.details),
    )
