"""What a minion keeps on disk survives torn writes, and is sent until it is acknowledged."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minion.blobs import Blobs
from minion.journal import Journal
from minion.outbox import MOST_RECORDS, Outbox
from minion.records import RecordWriter, read_records
from protocol.command import Call, seal
from protocol.identity import generate
from protocol.messages import BlobPart, EventRaised, JobUpdate, Record
from protocol.names import JobId, new_job_id
from protocol.results import JobState

MASTER = generate()


def event(number: int) -> EventRaised:
    return EventRaised(f"n/{number}", {"number": number}, 1.0)


def update(job: JobId, state: JobState) -> JobUpdate:
    return JobUpdate(job, state, 1.0)


def written(path: Path, count: int) -> list[Record]:
    writer = RecordWriter(path)
    records: list[Record] = [event(number) for number in range(count)]
    for record in records:
        writer.append(record)
    writer.close()
    return records


@given(cut=st.integers(0, 400), junk=st.binary(max_size=30))
def test_a_torn_tail_is_left_out_and_written_over(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("r") / "records"
    records = written(path, 5)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    kept = [record for record, _ in read_records(path, 0)]
    assert kept == records[: len(kept)]
    path.write_bytes(whole[:cut] + junk)
    writer = RecordWriter(path)
    writer.append(event(99))
    writer.close()
    after = [record for record, _ in read_records(path, 0)]
    assert after[-1] == event(99)
    assert after[:-1] == records[: len(after) - 1]


def test_a_flipped_bit_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "records"
    written(path, 3)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))
    assert len(list(read_records(path, 0))) < 3


def journaled(tmp_path: Path) -> tuple[Journal, JobId]:
    journal = Journal(tmp_path)
    job = new_job_id(1.0)
    sealed = seal(MASTER, job, 7, {"osd1": Call("cmd.run", ("true",), {}, 5.0)}, 1.0, 60.0)["osd1"]
    journal.add(job, 7, sealed, update(job, JobState.ACCEPTED))
    return journal, job


def test_the_journal_knows_its_jobs_after_a_restart(tmp_path: Path) -> None:
    journal, job = journaled(tmp_path)
    again = Journal(tmp_path)
    found = list(again.load())
    assert [(each.job, each.header.sequence, each.ended) for each in found] == [(job, 7, False)]
    assert again.high_water() == 7
    journal.append(job, update(job, JobState.SUCCEEDED))
    assert [each.ended for each in again.load()] == [True]
    again.remove(job)
    assert not again.known(job)
    assert again.high_water() == 7


def test_a_folder_without_its_command_was_never_accepted(tmp_path: Path) -> None:
    journal, job = journaled(tmp_path)
    (journal.folder(job) / "command").unlink()
    assert list(Journal(tmp_path).load()) == []
    assert not journal.folder(job).exists()


def test_a_process_is_known_by_its_start_not_its_number(tmp_path: Path) -> None:
    journal, job = journaled(tmp_path)
    journal.note_process(job, os.getpid())
    assert journal.living_process(job) == os.getpid()
    (journal.folder(job) / "process").write_text(f"{os.getpid()} 1\n")
    assert journal.living_process(job) is None


def test_records_are_sent_until_acknowledged_and_again_in_a_new_session(tmp_path: Path) -> None:
    journal, job = journaled(tmp_path)
    outbox = Outbox(journal)
    outbox.grew(job)
    assert list(outbox.reports()) == []
    outbox.open(window=4)
    first = list(outbox.reports())
    assert [r.records for r in first] == [(update(job, JobState.ACCEPTED),)]
    assert list(outbox.reports()) == []
    outbox.open(window=4)
    assert [r.records for r in outbox.reports()] == [(update(job, JobState.ACCEPTED),)]
    assert outbox.acknowledged(1) == []
    journal.append(job, update(job, JobState.SUCCEEDED))
    outbox.grew(job)
    assert [r.records for r in outbox.reports()] == [(update(job, JobState.SUCCEEDED),)]
    assert outbox.acknowledged(2) == [job]


def test_the_window_bounds_what_is_on_its_way(tmp_path: Path) -> None:
    outbox = Outbox(Journal(tmp_path))
    for number in range(MOST_RECORDS * 5):
        outbox.add(event(number))
    outbox.open(window=2)
    assert [r.number for r in outbox.reports()] == [1, 2]
    outbox.acknowledged(1)
    assert [r.number for r in outbox.reports()] == [3]
    outbox.open(window=99)
    again = [record for report in outbox.reports() for record in report.records]
    assert again == [event(number) for number in range(MOST_RECORDS, MOST_RECORDS * 5)]


def test_blobs_count_only_when_whole_and_right(tmp_path: Path) -> None:
    content = b"x" * 5000
    digest = hashlib.sha256(content).hexdigest()
    blobs = Blobs(tmp_path)
    blobs.want(digest)
    assert [r.offset for r in blobs.requests()] == [0]
    assert blobs.take(BlobPart(digest, 0, 5000, content[:3000])) is None
    assert not blobs.has(digest)
    blobs.restart()
    assert [r.offset for r in blobs.requests()] == [3000]
    assert blobs.take(BlobPart(digest, 100, 5000, b"out of turn")) is None
    assert blobs.take(BlobPart(digest, 3000, 5000, content[3000:])) is None
    assert blobs.path(digest).read_bytes() == content
    other = hashlib.sha256(b"other").hexdigest()
    blobs.want(other)
    blobs.requests()
    assert blobs.take(BlobPart(other, 0, 5, b"wrong")) == "its content arrived damaged"
    blobs.want(other)
    assert blobs.take(BlobPart(other, 0, -1, b"")) is not None
    assert not blobs.has(other)


def test_a_digest_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        Blobs(tmp_path).path("../../etc/passwd")


def test_the_oldest_content_goes_first_and_never_what_is_needed(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, most_bytes=100)
    names = []
    for number in range(4):
        content = bytes([number]) * 40
        digest = hashlib.sha256(content).hexdigest()
        blobs.want(digest)
        blobs.take(BlobPart(digest, 0, 40, content))
        os.utime(blobs.path(digest), (number, number))
        names.append(digest)
    blobs.prune({names[0]})
    assert [blobs.has(name) for name in names] == [True, False, False, True]
