"""Names and values are data: what looks like a command, a path or an option in them is never taken for one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from protocol.data import Data
from protocol.errors import StackmasterError, StateError
from protocol.secrets import Scrubber
from tests.unit.state_contract import context, plan, snapshot

CORPUS = [
    "; touch CANARY",
    "$(touch CANARY)",
    "`touch CANARY`",
    "| touch CANARY",
    "&& touch CANARY",
    "\ntouch CANARY\n",
    "--help",
    "-rf",
    "../../CANARY",
    "a'b\"c",
    "%s%n",
    "*?[a]",
    "\x1b[2J",
    "ä\u202e",
]

STATES: list[tuple[str, str, dict[str, Data]]] = [
    ("file.managed", "/srv/{}", {"contents": "{}"}),
    ("file.managed", "/srv/x", {"contents": "x", "check_cmd": "test -n '{}' -a -f"}),
    ("file.managed", "/srv/x{}", {"contents": "x", "check_cmd": "test -f"}),
    ("file.managed", "/srv/x", {"contents": "x", "user": "{}"}),
    ("file.directory", "/srv/{}", {"group": "{}"}),
    ("file.symlink", "/srv/{}", {"target": "{}"}),
    ("file.append", "/srv/{}", {"text": "{}"}),
    ("file.blockreplace", "/srv/f", {"content": "{}", "append_if_not_found": True}),
    ("file.absent", "/srv/{}", {}),
    ("file.copy", "/srv/{}", {"source": "/srv/f"}),
    ("ini.options_present", "/srv/{}", {"sections": {"{}": {"{}": "{}"}}}),
    ("user.present", "{}", {"fullname": "{}", "home": "/srv/{}", "shell": "{}", "groups": ["{}"]}),
    ("user.present", "ann", {"fullname": "{}"}),
    ("user.absent", "{}", {}),
    ("group.present", "{}", {"members": ["{}"]}),
    ("sysctl.present", "{}", {"value": "{}"}),
    ("sysctl.present", "net.x", {"value": "{}"}),
    ("cmd.run", "true", {"env": {"X": "{}"}, "stdin": "{}"}),
    ("cmd.run", "true", {"runas": "{}"}),
    ("cmd.run", "true", {"cwd": "/srv/{}"}),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    for folder in ("etc", "srv", "bin", "usr/bin", "usr/sbin", "proc/sys/net", "tmp"):
        (made / folder).mkdir(parents=True)
    for tool in ("bin/sh", "usr/bin/test", "usr/bin/touch", "usr/sbin/useradd", "usr/sbin/usermod"):
        (made / tool).symlink_to(f"/{tool}")
    (made / "etc/passwd").write_text("ann:x:1000:1000::/home/ann:/bin/sh\n")
    (made / "etc/group").write_text("ann:x:1000:\n")
    (made / "proc/sys/net/x").write_text("1\n")
    (made / "srv/f").write_text("text\n")
    return made


def filled(value: Data, word: str) -> Data:
    if isinstance(value, str):
        return value.replace("{}", word)
    if isinstance(value, Mapping):
        return {str(filled(key, word)): filled(each, word) for key, each in value.items()}
    return [filled(each, word) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("word", CORPUS)
@pytest.mark.parametrize(("state", "name", "args"), STATES)
def test_words_are_not_commands(
    root: Path, monkeypatch: pytest.MonkeyPatch, state: str, name: str, args: dict[str, Data], word: str
) -> None:
    """The state does what it says with the word as it is, or refuses it; nothing is run, nothing lies elsewhere."""
    monkeypatch.chdir(root / "srv")
    given = filled(args, word)
    assert isinstance(given, Mapping)
    before = snapshot(root.parent)
    try:
        for action in plan(context(root), state, str(filled(name, word)), given).actions:
            action.perform()
    except StackmasterError as error:
        assert str(error)
    after = snapshot(root.parent)
    made = {path for path in after.keys() - before.keys() if not path.startswith("/root.state")}
    assert not [path for path in made if Path(path).name == "CANARY"]
    inside = ("/root/srv/", "/root/etc/", "/root/proc/sys/net/x")
    assert all(path.startswith(inside) for path in made), made


@pytest.mark.parametrize("name", ["/srv/x\0y", "srv/x", "", "../x", "/srv/../x", "/.."])
def test_what_is_no_path(root: Path, name: str) -> None:
    for state, args in (("file.managed", {"contents": "x"}), ("file.absent", {}), ("file.directory", {})):
        with pytest.raises(StateError):
            plan(context(root), state, name, args)


def test_a_source_cannot_leave_its_folder(root: Path) -> None:
    for bad in ("salt://d/../../etc/passwd", "salt://d//etc/passwd", "salt://d/a/../../x"):
        before = snapshot(root)
        try:
            for action in plan(
                context(root, sources={bad: b"x"}), "file.recurse", "/srv/d", {"source": "salt://d"}
            ).actions:
                action.perform()
        except StateError:
            pass
        assert snapshot(root) == before


def test_a_secret_reaches_neither_process_table_nor_plan(root: Path) -> None:
    """Every change that a plan tells of, once scrubbed as on its way out, is without the secret."""
    secret = "correct-horse-battery"
    scrubber = Scrubber([secret])
    cases: list[tuple[str, str, dict[str, Data]]] = [
        ("file.managed", "/srv/s", {"contents": secret}),
        ("file.append", "/srv/f", {"text": secret}),
        ("ini.options_present", "/srv/i", {"sections": {"a": {"k": secret}}}),
        ("user.present", "bob", {"password": f"$6${secret}"}),
        ("cmd.run", f"echo {secret}", {}),
    ]
    for state, name, args in cases:
        done = plan(context(root, scrubber=scrubber), state, name, args)
        for change in done.changes:
            told = [change.subject, change.old, change.new, change.diff, change.details]
            assert secret not in repr(scrubber.data(told))
