"""cmd.*: commands through a shell, what they come to, and what is told of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from protocol.secrets import Scrubber, Secret
from states.contract import DeedError, NoDifferenceError
from states.registry import check_arguments, find_function, find_state
from tests.unit.state_contract import context, plan

Args = Mapping[str, Data]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    for folder in ("etc", "bin", "tmp", "srv", "root", "usr/bin", "usr/sbin"):
        (made / folder).mkdir(parents=True)
    (made / "bin/sh").symlink_to("/bin/sh")
    (made / "bin/bash").symlink_to("/bin/bash")
    (made / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nceph:x:64045:64045::/srv:/bin/sh\n")
    (made / "etc/group").write_text("ceph:x:64045:\nadm:x:4:ceph\n")
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_uid == os.getuid() and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o111)
    return made


def details(root: Path, state: str, name: str, args: Args, **options: Any) -> dict[str, Data]:
    done = plan(context(root, **options), state, name, args)
    assert len(done.actions) == 1
    told = done.actions[0].perform()
    assert isinstance(told, dict)
    return told


OUTPUTS: list[tuple[str, Args, str]] = [
    ("echo a; echo b", {}, "a\nb"),
    ("pwd", {"cwd": "/srv"}, "{root}/srv"),
    ("pwd", {}, "{root}/root"),
    ("echo $A-$B", {"env": {"A": "1", "B": 2}}, "1-2"),
    ("echo $A-$B", {"env": [{"A": "1"}, {"B": "x y"}]}, "1-x y"),
    ("echo $A", {"env": ["A=b=c"]}, "b=c"),
    ("umask", {"umask": "077"}, "0077"),
    ("cat", {"stdin": "given"}, "given"),
    ("echo ${BASH_VERSION:+bash}", {"shell": "/bin/bash"}, "bash"),
    ("echo $PATH | cut -d: -f1", {"prepend_path": "/opt/bin"}, "/opt/bin"),
    ("id -u; id -g; id -G; echo $HOME; pwd", {"runas": "ceph"}, "64045\n64045\n64045 4\n/srv\n{root}/srv"),
    ("printf 'ä\\377'", {}, "ä\ufffd"),
]


@pytest.mark.parametrize(("command", "args", "output"), OUTPUTS)
def test_what_a_command_writes(root: Path, command: str, args: Args, output: str) -> None:
    told = details(root, "cmd.run", command, args)
    assert told == {"retcode": 0, "stdout": output.format(root=root), "stderr": ""}


def test_a_command_runs_each_time_and_not_in_a_dry_run(root: Path) -> None:
    dry = plan(context(root, test=True), "cmd.run", "touch made", {"cwd": "/srv"})
    assert [change.foretold() for change in dry.changes] == [("run", "touch made", "")]
    assert dry.foretold == 'Command "touch made" would have been executed'
    assert not (root / "srv/made").exists()
    for _ in range(2):
        details(root, "cmd.run", "echo x >> made", {"cwd": "/srv"})
    assert (root / "srv/made").read_text() == "x\nx\n"


def test_a_failing_command_tells_its_change_and_fails(root: Path) -> None:
    done = plan(context(root), "cmd.run", "echo out; echo err >&2; exit 3", {})
    with pytest.raises(DeedError, match="its exit status is 3") as caught:
        done.actions[0].perform()
    assert caught.value.details == {"retcode": 3, "stdout": "out", "stderr": "err"}


def test_other_exit_statuses_can_be_success(root: Path) -> None:
    assert details(root, "cmd.run", "exit 3", {"success_retcodes": [3]})["retcode"] == 3


def test_hidden_output(root: Path) -> None:
    assert details(root, "cmd.run", "echo secret", {"hide_output": True}) == {"retcode": 0}
    done = plan(context(root), "cmd.run", "echo secret; exit 1", {"hide_output": True})
    with pytest.raises(DeedError) as caught:
        done.actions[0].perform()
    assert caught.value.details == {"retcode": 1}


def test_a_deadline_ends_the_command_and_its_children(root: Path) -> None:
    command = "sleep 600 & echo $! > pid; wait"
    done = plan(context(root, deadline=0.3), "cmd.run", command, {"cwd": "/srv"})
    with pytest.raises(DeedError, match=r"did not end within 0\.3 s"):
        done.actions[0].perform()
    child = int((root / "srv/pid").read_text())
    assert not Path(f"/proc/{child}").exists() or Path(f"/proc/{child}/stat").read_text().split()[2] == "Z"
    assert details(root, "cmd.run", "sleep 600", {"ignore_timeout": True}, deadline=0.1)["retcode"] != 0


def test_a_command_in_the_background_is_not_waited_for(root: Path) -> None:
    (root / "pipe").touch()
    os.mkfifo(root / "srv/fifo")
    told = details(root, "cmd.run", "echo done > fifo", {"cwd": "/srv", "bg": True}, deadline=30.0)
    assert told["retcode"] == 0
    assert (root / "srv/fifo").read_text() == "done\n"


def test_a_secret_in_a_command_is_no_argument(root: Path) -> None:
    command = "tr '\\0' ' ' < /proc/self/cmdline; tr '\\0' ' ' < /proc/$$/cmdline; echo; echo hunter22 | wc -c"
    for name, scrubber in ((command, Scrubber(["hunter22"])), (Secret(command), Scrubber())):
        told = details(root, "cmd.run", name, {}, scrubber=scrubber)
        assert "hunter22" not in str(told["stdout"])
        assert str(told["stdout"]).endswith("\n9")
    told = details(root, "cmd.run", "env # hunter22", {}, scrubber=Scrubber(["hunter22"]))
    assert "hunter22" not in str(told["stdout"])


STATEFUL: list[tuple[str, bool | None, str]] = [
    ("echo noise; echo \"changed=yes comment='two words'\"", True, "two words"),
    ('echo \'{"changed": true, "comment": "json"}\'', True, "json"),
    ("echo changed=no comment=same", False, "same"),
    ("echo '{\"changed\": false}'; echo", False, ""),
    ("echo nothing", None, ""),
    ("true", None, ""),
    ('echo "changed=\'"', None, ""),
]


@pytest.mark.parametrize(("command", "changed", "comment"), STATEFUL)
def test_stateful(root: Path, command: str, changed: bool | None, comment: str) -> None:
    done = plan(context(root), "cmd.run", command, {"stateful": True})
    if changed:
        told = done.actions[0].perform()
        assert isinstance(told, dict)
        assert told["retcode"] == 0
        return
    with pytest.raises(ArgumentError if changed is None else NoDifferenceError) as caught:
        done.actions[0].perform()
    assert changed is None or caught.value.message == comment


def test_a_stateful_command_can_be_asked_in_a_dry_run(root: Path) -> None:
    for form in ({"test_name": "echo changed=no comment=fine"}, [{"test_name": "echo changed=no comment=fine"}]):
        args: Args = {"stateful": form}
        dry = plan(context(root, test=True), "cmd.run", "touch /x", args)
        assert (dry.changes, dry.comment) == ((), "fine")
        assert len(plan(context(root), "cmd.run", "true", args).changes) == 1


def test_waiting_does_nothing_until_something_watched_changes(root: Path) -> None:
    assert plan(context(root), "cmd.wait", "echo x", {"cwd": "/srv"}).changes == ()
    for name in ("cmd.wait", "cmd.watch", "cmd.run"):
        watch = find_state(name).watch
        assert watch is not None
        done = watch(context(root), "echo x", cwd="/srv")
        assert done.actions[0].perform() == {"retcode": 0, "stdout": "x", "stderr": ""}
    assert find_state("cmd.wait").signature == find_state("cmd.run").signature
    assert "cwd: the directory" in find_state("cmd.wait").doc


SCRIPT = b'#!/bin/sh\necho "$0" | grep -c stackmaster; stat -c %a "$0"; echo "$#:$1:$2"\n'


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("salt://s.sh 'a b' c", {}),
        ("anything", {"source": "salt://s.sh", "args": "'a b' c"}),
        ("anything 'a b' c", {"source": "salt://s.sh"}),
    ],
)
@pytest.mark.parametrize("runas", ["", "ceph"])
def test_scripts(root: Path, name: str, args: dict[str, Data], runas: str) -> None:
    done = plan(context(root, sources={"salt://s.sh": SCRIPT}), "cmd.script", name, {**args, "runas": runas})
    told = done.actions[0].perform()
    assert told == {"retcode": 0, "stdout": "1\n500\n2:a b:c", "stderr": ""}
    assert list((root / "tmp").iterdir()) == []


def test_a_failing_script_leaves_nothing(root: Path) -> None:
    ctx = context(root, sources={"salt://s.sh": b"#!/bin/sh\nexit 7\n"})
    with pytest.raises(DeedError, match="exit status is 7"):
        plan(ctx, "cmd.script", "salt://s.sh", {}).actions[0].perform()
    assert list((root / "tmp").iterdir()) == []


def test_what_is_missing(root: Path) -> None:
    cases: list[tuple[str, str, Args, str]] = [
        ("cmd.run", "true", {"runas": "nova"}, "there is no user 'nova'"),
        ("cmd.run", "true", {"cwd": "/none"}, "there is no directory /none"),
        ("cmd.script", "salt://none", {}, "not among the files"),
        ("cmd.script", "/none", {}, "there is no script /none"),
    ]
    for state, name, args, message in cases:
        with pytest.raises(StateError, match=message):
            plan(context(root), state, name, args)
    ahead = context(root, test=True, pending=True)
    assert len(plan(ahead, "cmd.run", "true", {"runas": "nova", "cwd": "/none"}).changes) == 1
    with pytest.raises(StateError, match="no command"):
        plan(context(root), "cmd.run", "true", {"shell": "/bin/zsh"}).actions[0].perform()


WRONG: list[tuple[Args, str]] = [
    ({"umask": "999"}, "not a umask"),
    ({"env": "nonsense"}, "env must be"),
    ({"env": [["A", "b"]]}, "env must be"),
    ({"env": {"A=B": "c"}}, "no name of an environment variable"),
    ({"runnas": "x"}, "no argument 'runnas'"),
]


@pytest.mark.parametrize(("args", "message"), WRONG)
def test_wrong_arguments(root: Path, args: Args, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        plan(context(root), "cmd.run", "true", args)


def call(root: Path, name: str, /, **given: Data) -> Data:
    found = find_function(name)
    return found.call(context(root), **check_arguments(name, found.signature, given))


def test_functions(root: Path) -> None:
    assert call(root, "cmd.run", cmd="echo out; echo err >&2") == "out\nerr"
    told = {"retcode": 3, "stdout": "out", "stderr": ""}
    assert call(root, "cmd.run", cmd="echo out; exit 3", all=True) == told
    assert call(root, "cmd.run_all", cmd="echo out; exit 3") == told
    assert call(root, "cmd.run", cmd="echo out; exit 3", ignore_retcode=True) == "out"
    assert call(root, "cmd.retcode", cmd="exit 3", cwd="/srv") == 3
    with pytest.raises(StateError, match="exit status 3: out"):
        call(root, "cmd.run", cmd="echo out; exit 3")
    assert find_function("cmd.run").access == "runs-code"
