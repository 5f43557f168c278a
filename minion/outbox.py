"""What the master has not acknowledged yet: sent in order, within a window, forgotten once committed there.

Records of jobs stay in their files; here are only offsets. A new session sends again whatever the last one did not
get acknowledged; the master stores each record once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from minion.journal import Journal
from minion.records import fitting, read_records
from protocol import codec
from protocol.errors import DecodeError
from protocol.messages import EventRaised, JobProgress, JobUpdate, Record, Report
from protocol.names import JobId

LOOSE: Mapping[str, type[Record]] = codec.table(JobUpdate, JobProgress, EventRaised)

MOST_RECORDS = 64
"""Records in one Report."""

MOST_BYTES = 512 * 1024
"""Bytes of records in one Report, unless a single record is larger."""

MOST_LOOSE_BYTES = 16 * 1024 * 1024
"""Bytes of such replies kept."""

MOST_LOOSE = 2000
"""Replies of quick functions kept in memory; the oldest goes first (they only read, and can be asked again)."""


@dataclass(slots=True)
class _Track:
    """How far the records of one job are sent and acknowledged, in bytes."""

    sent: int = 0
    acknowledged: int = 0
    more: bool = True


@dataclass(slots=True)
class _Flight:
    """What one unacknowledged Report carried."""

    loose: list[tuple[Record, int]] = field(default_factory=list)
    offsets: dict[JobId, int] = field(default_factory=dict)
    ended: set[JobId] = field(default_factory=set)


class Outbox:
    """The unacknowledged records of a minion."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._tracks: dict[JobId, _Track] = {}
        self._loose: deque[tuple[Record, int]] = deque()
        self._loose_bytes = 0
        self._flights: dict[int, _Flight] = {}
        self._next = 1
        self._window = 0

    def open(self, window: int) -> None:
        """A session began: everything unacknowledged is to be sent again, at most `window` Reports at once."""
        for flight in reversed(self._flights.values()):
            self._loose.extendleft(reversed(flight.loose))
            self._loose_bytes += sum(size for _, size in flight.loose)
        self._flights.clear()
        self._next = 1
        self._window = window
        for track in self._tracks.values():
            track.sent = track.acknowledged
            track.more = True

    def close(self) -> None:
        """The session is over: nothing can be sent."""
        self._window = 0

    def add(self, record: Record) -> None:
        """A record that is in no job's file; the oldest of these goes when there are too many."""
        raw = fitting(record)
        self._loose.append((codec.decode(raw, LOOSE), len(raw)))
        self._loose_bytes += len(raw)
        while len(self._loose) > MOST_LOOSE or self._loose_bytes > MOST_LOOSE_BYTES:
            self._loose_bytes -= self._loose.popleft()[1]

    def grew(self, job: JobId) -> None:
        """The job's file may hold more records than were sent."""
        self._tracks.setdefault(job, _Track()).more = True

    def reports(self) -> Iterator[Report]:
        """The Reports that the window allows now."""
        while len(self._flights) < self._window:
            flight = _Flight()
            records = self._gather(flight)
            if not records:
                return
            number, self._next = self._next, self._next + 1
            self._flights[number] = flight
            yield Report(number, tuple(records))

    def acknowledged(self, number: int) -> list[JobId]:
        """The master committed every Report up to `number`; the jobs that can be forgotten with it."""
        done: list[JobId] = []
        for sent in [n for n in self._flights if n <= number]:
            flight = self._flights.pop(sent)
            for job, offset in flight.offsets.items():
                if job in self._tracks:
                    self._tracks[job].acknowledged = offset
            for job in flight.ended:
                self._tracks.pop(job, None)
                done.append(job)
        return done

    def _gather(self, flight: _Flight) -> list[Record]:
        records: list[Record] = []
        size = 0
        while self._loose and len(records) < MOST_RECORDS and (not records or size + self._loose[0][1] <= MOST_BYTES):
            record, bytes = self._loose.popleft()
            flight.loose.append((record, bytes))
            records.append(record)
            size += bytes
        self._loose_bytes -= size
        for job, track in self._tracks.items():
            if not track.more:
                continue
            if records and size >= MOST_BYTES:
                break
            size += self._gather_job(job, track, flight, records, size)
            if len(records) >= MOST_RECORDS:
                break
        return records

    def _gather_job(self, job: JobId, track: _Track, flight: _Flight, records: list[Record], size: int) -> int:
        begun = track.sent
        track.more = False
        try:
            for record, offset in read_records(self._journal.records(job), track.sent):
                if records and size + offset - begun > MOST_BYTES:
                    track.more = True
                    break
                records.append(record)
                track.sent = flight.offsets[job] = offset
                if isinstance(record, JobUpdate) and record.state.terminal:
                    flight.ended.add(job)
                    break
                if len(records) >= MOST_RECORDS:
                    track.more = True
                    break
        except (OSError, DecodeError):
            track.more = False
        return track.sent - begun
