"""Mistakes that only a real host can find, through the whole product: what is said, the exit code, nothing changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.harness import Lab
from tests.lab.site import LabSite

SLS = {
    "nopackage": "a tool:\n  pkg.installed:\n    - name: no-such-package-at-all\n",
    "nounit": "a service:\n  service.running:\n    - name: no-such-unit\n",
    "big": "/small/file:\n  file.managed:\n    - source: salt://content\n",
    "typo": "a file:\n  file.managed:\n    - name: /etc/typo\n    - contents: x\n    - moed: '0644'\n",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSite]:
    states = tmp_path_factory.mktemp("states")
    for name, text in SLS.items():
        (states / f"{name}.sls").write_text(text)
    (states / "content").write_bytes(b"new" * 1_000_000)
    with Lab(["one", "two"]) as lab, LabSite(lab, {}, states) as it:
        yield it


def refused(site: LabSite, *words: str, code: int) -> str:
    """What `stackmaster WORDS` says, which must end with `code`."""
    done = site.run(*words)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    return said


def test_a_package_that_does_not_exist(site: LabSite) -> None:
    said = refused(site, "apply", "one", "nopackage", code=4)
    assert "no-such-package-at-all" in said
    assert "one" in said
    assert "nopackage.sls:" in said
    assert "pkgrepo" in said or "close names" in said


def test_a_unit_that_does_not_exist(site: LabSite) -> None:
    said = refused(site, "apply", "one", "nounit", code=4)
    assert "no-such-unit" in said
    assert "package" in said


def test_a_full_disk_leaves_the_old_content(site: LabSite) -> None:
    host = site.lab["one"]
    host.shell("mkdir -p /small && mount -t tmpfs -o size=1m tmpfs /small && echo old > /small/file")
    said = refused(site, "apply", "one", "big", code=4)
    assert "No space left" in said or "full" in said
    assert host.get("/small/file") == "old\n"
    assert host.shell("ls -A /small").split() == ["file"]


def test_a_mistake_in_one_word_changes_nothing_anywhere(site: LabSite) -> None:
    said = refused(site, "apply", "*", "typo", code=2)
    assert "typo.sls:" in said
    assert "did you mean 'mode'" in said
    assert not any(host.exists("/etc/typo") for host in site.lab)


def test_a_target_that_matches_nobody(site: LabSite) -> None:
    assert "three" in refused(site, "apply", "three", "typo", code=6)


def test_a_minion_that_is_away_is_told_apart(site: LabSite) -> None:
    host = site.lab["two"]
    host.shell("systemctl stop stackminion")
    said = refused(site, "exec", "*", "test.ping", "--answer-within", "3s", code=5)
    assert "two" in said
    host.shell("systemctl start stackminion")
    site.wait_connected()
    assert site.run("exec", "*", "test.ping").returncode == 0


def test_a_job_outlives_a_restart_of_its_minion(site: LabSite) -> None:
    done = site.run("exec", "one", "cmd.run", "systemctl restart stackminion; sleep 1; echo survived")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "survived" in done.stdout


def test_a_cancel_ends_everything_a_job_started(site: LabSite) -> None:
    job = site.json("exec", "one", "cmd.run", "setsid sleep 4711 & trap '' TERM; sleep 4712", "--detach")["job"]
    host = site.lab["one"]
    running = "pgrep -f 'sleep 471[12]'"
    for _ in range(100):
        if len(host.shell(running, check=False).split()) >= 2:
            break
    assert site.run("jobs", "cancel", job).returncode == 0
    watched = site.run("jobs", "watch", job)
    assert "cancelled" in watched.stdout + watched.stderr
    assert host.shell(running, check=False).split() == []


def test_the_states_folder_is_private(site: LabSite) -> None:
    modes = site.lab["one"].shell("stat -c '%a %n' /var/lib/stackmaster/minion /var/lib/stackmaster/minion/identity")
    assert modes.split()[::2] == ["700", "600"]
    assert Path(site.folder / "master").stat().st_mode & 0o777 == 0o700
