"""What jobs changed is put back from what was kept; what cannot be is named; what is kept is bounded."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from protocol.assignment import Assignment, Chunk
from protocol.data import Data
from protocol.names import new_job_id
from protocol.results import Change, StepResult
from protocol.secrets import Secret
from states import engine
from states.context import Context
from states.host import apt, kept
from states.host.kept import Keeper
from tests.unit.fake_apt import FakeApt
from tests.unit.fake_systemctl import FakeSystemctl
from tests.unit.state_contract import snapshot

State = tuple[str, str, Mapping[str, Data]]
CANARY = "c4n4ry-77777777"


class Host:
    """A minion's root and what it keeps; each `apply` is a job of its own."""

    def __init__(self, root: Path, state_dir: Path) -> None:
        self.root = root
        self.state_dir = state_dir
        root.mkdir(exist_ok=True)
        state_dir.mkdir(mode=0o700)
        self.now = time.time()

    def apply(self, *states: State, test: bool = False, secrets: tuple[str, ...] = ()) -> tuple[str, list[StepResult]]:
        """Apply states as a new job: its id, and the results."""
        self.now += 1
        job = str(new_job_id(self.now))
        named = ((function.partition("."), name, args) for function, name, args in states)
        chunks = tuple(Chunk(family, fun, name, name, "a", args) for (family, _, fun), name, args in named)
        context = Context("m1", {}, root=self.root, state_dir=self.state_dir, deadline=30.0)
        context.keeper = None if test else Keeper(self.state_dir / "kept", job)
        return job, engine.apply(Assignment("m1", chunks, secrets=secrets), context, lambda _: None, test=test)

    def rollback(self, *jobs: str, test: bool = False) -> StepResult:
        """Roll jobs back: foretold and then made, which must agree. Gives the result."""
        state: State = ("rollback.jobs", "jobs", {"jobs": list(jobs)})
        _, (foretold,) = self.apply(state, test=True)
        if test:
            return foretold
        _, (made,) = self.apply(state)
        assert made.changes == foretold.changes
        assert self.apply(state)[1][0].changes == ()
        return made


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "root", tmp_path / "state")


def test_files_folders_and_links_are_as_they_were(host: Host) -> None:
    (host.root / "a").write_text("old\n")
    (host.root / "a").chmod(0o600)
    (host.root / "gone").write_text("was here\n")
    (host.root / "link").symlink_to("/a")
    (host.root / "empty").mkdir(mode=0o750)
    before = snapshot(host.root)
    job, results = host.apply(
        ("file.managed", "/a", {"contents": "new", "mode": "0644"}),
        ("file.append", "/a", {"text": "more"}),
        ("file.managed", "/x/y/new", {"contents": "1", "makedirs": True}),
        ("file.absent", "/gone", {}),
        ("file.absent", "/empty", {}),
        ("file.symlink", "/link", {"target": "/b"}),
    )
    assert [result.result for result in results] == [True] * 6
    after = snapshot(host.root)
    foretold = host.rollback(job, test=True)
    assert snapshot(host.root) == after
    assert "-more\n+old" in "".join(change.diff for change in foretold.changes).replace("-new\n", "")
    made = host.rollback(job)
    assert made.warnings == ()
    assert snapshot(host.root) == before


def test_several_jobs_go_back_to_before_the_first(host: Host) -> None:
    (host.root / "a").write_text("0\n")
    jobs = [host.apply(("file.managed", "/a", {"contents": text}))[0] for text in ("1", "2", "3")]
    host.rollback(*jobs)
    assert (host.root / "a").read_text() == "0\n"


def test_a_rollback_can_be_rolled_back(host: Host) -> None:
    (host.root / "a").write_text("0\n")
    job, _ = host.apply(("file.managed", "/a", {"contents": "1"}))
    again, _ = host.apply(("rollback.jobs", "x", {"jobs": [job]}))
    assert (host.root / "a").read_text() == "0\n"
    host.rollback(again)
    assert (host.root / "a").read_text() == "1\n"


def test_what_something_else_changed_since_is_left_and_named(host: Host) -> None:
    job, _ = host.apply(
        ("file.managed", "/a", {"contents": "1"}), ("file.managed", "/b", {"contents": "1"}),
        ("file.directory", "/d", {}),
    )  # fmt: skip
    (host.root / "a").write_text("by hand\n")
    (host.root / "d/mine").touch()
    made = host.rollback(job)
    assert made.result is True
    assert made.warnings == (
        "/d directory is not put back: the directory that was made holds more by now",
        "/a content is not put back: something else changed it since",
    )
    assert (host.root / "a").read_text() == "by hand\n"
    assert not (host.root / "b").exists()


def test_what_cannot_be_put_back_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_FILE", 10)
    (host.root / "large").write_text("x" * 11)
    (host.root / "d").mkdir()
    (host.root / "d/in").touch()
    job, _ = host.apply(
        ("cmd.run", "true", {}), ("file.managed", "/large", {"contents": "y"}), ("file.absent", "/d", {})
    )
    made = host.rollback(job)
    assert made.changes == ()
    assert sorted(made.warnings) == [
        "/d directory is not put back: its content was not kept",
        "/large content is not put back: its content was not kept",
        "true is not put back: only files, units and versions of packages are",
    ]


def test_a_secret_is_put_back_and_not_shown(host: Host) -> None:
    (host.root / "key").write_text(f"{CANARY}-old\n")
    (host.root / "key").chmod(0o600)
    args: Mapping[str, Data] = {"contents": Secret(f"{CANARY}-new"), "mode": "0600", "secret": True}
    job, _ = host.apply(("file.managed", "/key", args), secrets=(f"{CANARY}-new",))
    made = host.rollback(job)
    assert CANARY not in str(made)
    assert (host.root / "key").read_text() == f"{CANARY}-old\n"
    for place, _folders, names in os.walk(host.state_dir):
        assert Path(place).stat().st_mode & 0o077 == 0
        assert all(Path(place, name).stat().st_mode & 0o077 == 0 for name in names)


def test_content_that_was_tampered_with_is_not_put_back(host: Host) -> None:
    (host.root / "a").write_text("0\n")
    job, _ = host.apply(("file.managed", "/a", {"contents": "1"}))
    (kept_file,) = (file for file in (host.state_dir / "kept" / job).iterdir() if file.name != "log")
    kept_file.write_text("evil\n")
    assert host.rollback(job).changes == ()
    assert (host.root / "a").read_text() == "1\n"


def test_a_job_of_which_nothing_is_kept_is_an_error(host: Host) -> None:
    _, (result,) = host.apply(("rollback.jobs", "x", {"jobs": [str(new_job_id(1.0))]}))
    assert result.result is False
    assert "nothing is kept" in result.comment
    _, (result,) = host.apply(("rollback.jobs", "x", {"jobs": ["../../etc"]}))
    assert result.result is False


def test_units_are_as_they_were(tmp_path: Path) -> None:
    fake = FakeSystemctl(tmp_path / "root", {"mon.service": {}})
    fake.lay()
    host = Host(fake.root, tmp_path / "state")
    text = "[Service]\nExecStart=/bin/true\n"
    job, results = host.apply(
        ("systemd_unit.present", "mon", {"contents": text}), ("service.running", "mon", {"enable": True})
    )
    assert [result.result for result in results] == [True, True]
    assert fake.read("mon.service")["active"] == "active"
    made = host.rollback(job)
    assert [change.aspect for change in made.changes] == ["running", "enabled", "file", "daemon-reload"]
    assert fake.read("mon.service")["active"] == "inactive"
    assert not (host.root / "etc/systemd/system/mon.service").exists()


def test_packages_are_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "_refreshed", set())
    fake = FakeApt(tmp_path / "root")
    fake.offer("hello", "2.10-3")
    fake.offer("postfix", "3.7", "3.6")
    fake.have("postfix", "3.6")
    fake.lay()
    host = Host(fake.root, tmp_path / "state")
    job, results = host.apply(("pkg.installed", "hello", {}), ("pkg.latest", "postfix", {"refresh": False}))
    assert [result.result for result in results] == [True, True]
    assert fake.versions() == {"hello": "2.10-3", "postfix": "3.7"}
    host.rollback(job)
    assert fake.versions() == {"postfix": "3.6"}


def test_what_is_kept_is_bounded_by_age_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 5_000)
    folder = tmp_path / "kept"
    place = tmp_path / "a"
    now = time.time()
    jobs = [str(new_job_id(now - age)) for age in (kept.KEPT_FOR + 60, 300, 200, 100, 0)]
    for number, job in enumerate(jobs):
        place.write_text(str(number) * 2_000)
        Keeper(folder, job).around(place, Change("change", "/a", "content"), False, lambda: None)
    kept.prune(folder, now, jobs[-1])
    assert sorted(each.name for each in folder.iterdir()) == sorted(jobs[-3:])


def test_a_torn_log_gives_what_was_whole(host: Host) -> None:
    (host.root / "a").write_text("0\n")
    job, _ = host.apply(("file.managed", "/a", {"contents": "1"}))
    log = host.state_dir / "kept" / job / "log"
    log.write_text(log.read_text() + '{"kind": "change", "subj')
    host.rollback(job)
    assert (host.root / "a").read_text() == "0\n"
