"""What a minion keeps on disk survives torn writes, and is sent until it is acknowledged."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minion.blobs import MOST_OUTSTANDING, PART_PATIENCE, Blobs
from minion.journal import Journal, Journaled, Living, Unreadable, hold_lock, write_lock
from minion.outbox import MOST_RECORDS, Outbox
from minion.records import RecordWriter, read_records
from protocol import codec, limits
from protocol.assignment import BlobRef
from protocol.command import Call, seal
from protocol.data import Data
from protocol.errors import ConfigError, StateError
from protocol.identity import generate
from protocol.messages import BlobPart, EventRaised, JobProgress, JobUpdate, Record
from protocol.names import JobId, new_job_id
from protocol.results import Change, JobState, StepEnded, StepResult

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
    assert all(isinstance(each, Journaled) for each in found)
    assert [(e.job, e.header.sequence, e.ended) for e in found if isinstance(e, Journaled)] == [(job, 7, False)]
    assert again.high_water() == 7
    journal.append(job, update(job, JobState.SUCCEEDED))
    assert [each.ended for each in again.load() if isinstance(each, Journaled)] == [True]
    again.remove(job)
    assert not again.known(job)
    assert again.high_water() == 7


def test_a_folder_without_its_command_was_never_accepted(tmp_path: Path) -> None:
    journal, job = journaled(tmp_path)
    (journal.folder(job) / "command").unlink()
    assert list(Journal(tmp_path).load()) == []
    assert not journal.folder(job).exists()


def test_a_job_s_process_is_known_by_its_lock(tmp_path: Path) -> None:
    journal, job = journaled(tmp_path)
    assert journal.living(job) is None
    lock = hold_lock(journal.folder(job))
    assert lock is not None
    assert journal.living(job) == Living(0, None)
    write_lock(lock, 4711, Path("/sys/fs/cgroup/x"))
    assert journal.living(job) == Living(4711, Path("/sys/fs/cgroup/x"))
    assert hold_lock(journal.folder(job)) is None
    os.close(lock)
    assert journal.living(job) is None
    assert journal.process(job) == Living(4711, Path("/sys/fs/cgroup/x"))


def test_removing_a_job_can_be_cut_off_anywhere(tmp_path: Path) -> None:
    journal, job = journaled(tmp_path)
    half = tmp_path / "jobs" / f".gone-{job}"
    journal.folder(job).rename(half)
    (half / "records").unlink()
    assert list(Journal(tmp_path).load()) == []
    assert not half.exists()


def test_what_cannot_be_read_is_set_aside_and_told_not_deleted(tmp_path: Path) -> None:
    journal, job = journaled(tmp_path)
    (journal.folder(job) / "command").write_bytes(codec.encode(JobUpdate(job, JobState.FAILED, 1.0)))
    found = list(Journal(tmp_path).load())
    assert [type(each) for each in found] == [Unreadable]
    assert list((tmp_path / "jobs").glob(".unreadable-*/command"))
    assert list(Journal(tmp_path).load()) == []


def test_a_copy_of_a_folder_does_not_stop_the_start(tmp_path: Path) -> None:
    journal, job = journaled(tmp_path)
    shutil.copytree(journal.folder(job), tmp_path / "jobs" / f"{job}.bak")
    assert len(list(Journal(tmp_path).load())) == 1


def test_a_damaged_mark_is_not_taken_for_zero(tmp_path: Path) -> None:
    journal, _ = journaled(tmp_path)
    (tmp_path / "high-water").write_text("")
    with pytest.raises(ConfigError, match="join again"):
        journal.high_water()


def test_a_verdict_is_found_again(tmp_path: Path) -> None:
    journal, job = journaled(tmp_path)
    journal.judge(job, update(job, JobState.CANCELLED))
    found = next(iter(Journal(tmp_path).load()))
    assert isinstance(found, Journaled)
    assert found.verdict == update(job, JobState.CANCELLED)


def deep(levels: int) -> Data:
    tree: Data = "leaf"
    for _ in range(levels):
        tree = [tree]
    return tree


@pytest.mark.parametrize(
    "value",
    [deep(60), 2**70, "bad \udcff name", "lone \ud800", float("nan"), {"k": "x" * 5_000_000}, ["y" * 300_000] * 40],
)
def test_whatever_a_job_tells_can_be_written_read_and_sent(tmp_path: Path, value: Data) -> None:
    job = new_job_id(1.0)
    change = Change("run", "something", details=value)
    result = StepResult("t", "cmd.run", "i", "n", "s", True, "done", (change,))
    records: list[Record] = [
        JobUpdate(job, JobState.SUCCEEDED, 1.0, "", value),
        JobProgress(job, StepEnded(0, result)),
        EventRaised("a/b", {"value": value}, 1.0),
    ]
    writer = RecordWriter(tmp_path / "records")
    for record in records:
        writer.append(record)
    writer.close()
    found = [record for record, _ in read_records(tmp_path / "records", 0)]
    assert [type(record) for record in found] == [type(record) for record in records]
    assert all(len(codec.encode(record)) < limits.MAX_MESSAGE // 2 + 1024 for record in found)
    ended = found[1]
    assert isinstance(ended, JobProgress)
    assert isinstance(ended.progress, StepEnded)
    assert ended.progress.result.result is True


def test_a_report_is_never_larger_than_a_frame(tmp_path: Path) -> None:
    outbox = Outbox(Journal(tmp_path))
    for number in range(8):
        outbox.add(EventRaised(f"n/{number}", {"text": "x" * 900_000}, 1.0))
    outbox.open(window=99)
    sent = list(outbox.reports())
    assert all(len(codec.encode(report)) < limits.MAX_MESSAGE for report in sent)
    assert sum(len(report.records) for report in sent) == 8


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
    ref = BlobRef(hashlib.sha256(content).hexdigest(), 5000)
    blobs = Blobs(tmp_path)
    blobs.want(ref.digest)
    assert [r.offset for r in blobs.requests(1.0)] == [0]
    assert blobs.take(BlobPart(ref.digest, 0, 5000, content[:3000])) is None
    assert not blobs.has(ref.digest)
    blobs.restart()
    assert [r.offset for r in blobs.requests(1.0)] == [3000]
    assert blobs.take(BlobPart(ref.digest, 100, 5000, b"out of turn")) is None
    assert blobs.take(BlobPart(ref.digest, 3000, 5000, content[3000:])) is None
    assert blobs.checked(ref).read_bytes() == content
    other = hashlib.sha256(b"other").hexdigest()
    blobs.want(other)
    blobs.requests(1.0)
    assert blobs.take(BlobPart(other, 0, 5, b"wrong")) == "its content arrived damaged"
    blobs.want(other)
    assert blobs.take(BlobPart(other, 0, -1, b"")) is not None
    assert not blobs.has(other)


def test_content_that_a_crash_cut_short_is_fetched_again(tmp_path: Path) -> None:
    content = b"x" * 5000
    ref = BlobRef(hashlib.sha256(content).hexdigest(), 5000)
    blobs = Blobs(tmp_path)
    blobs.path(ref.digest).write_bytes(b"")
    assert not blobs.has(ref.digest, ref.size)
    blobs.path(ref.digest).write_bytes(b"y" * 5000)
    with pytest.raises(StateError, match="damaged"):
        blobs.checked(ref)
    assert not blobs.has(ref.digest)


def full_disk(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_lost_part_is_asked_for_again_and_a_failed_fetch_frees_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs(tmp_path)
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(5)]
    for digest in digests:
        blobs.want(digest)
    assert len(blobs.requests(1.0)) == MOST_OUTSTANDING
    assert blobs.requests(2.0) == []
    assert len(blobs.requests(2.0 + PART_PATIENCE)) == MOST_OUTSTANDING
    monkeypatch.setattr("minion.blobs.os.write", full_disk)
    assert "cannot be stored" in str(blobs.take(BlobPart(digests[0], 0, 9, b"x")))
    assert not blobs.fetching(digests[0])
    blobs.keep_only({digests[4]})
    assert [blobs.fetching(digest) for digest in digests] == [False] * 4 + [True]


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
