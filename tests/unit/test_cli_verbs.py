"""The other verbs against an API that answers as told, and what the command line does by itself."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from master.cli.app import VERBS, app
from master.cli.screen import Screen, visible
from master.main import main
from tests.unit.fake_cli_master import JOB, FakeMaster, event, failed, job_events, result, step

RUN = "00000001700000000000-00beef"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMaster]:
    path = tmp_path / "master.sock"
    monkeypatch.setenv("STACKMASTER_SOCKET", str(path))
    with FakeMaster(path, {}) as fake:
        yield fake


Capture = pytest.CaptureFixture[str]


# --- the program itself ---------------------------------------------------------------------------------------


def test_help_imports_neither_rich_nor_yaml_nor_asyncio() -> None:
    code = (
        "import sys; from master.main import main; main(['--help']); "
        "print(sorted(set(sys.modules) & {'rich', 'yaml', 'asyncio', 'sqlite3', 'zmq', 'jinja2'}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.strip() == "[]"
    assert "stackmaster apply" in done.stdout


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_command_has_help_that_begins_with_examples(verb: str, capsys: Capture) -> None:
    assert main([verb, "--help"]) == 0
    assert f"stackmaster {verb}" in capsys.readouterr().out.partition("Options:")[0]


def test_every_sub_command_has_an_example(capsys: Capture) -> None:
    for verb in VERBS:
        command = app.get_command(click.Context(app), verb)
        if isinstance(command, click.Group):
            for name in command.commands:
                assert main([verb, name, "--help"]) == 0
                assert f"stackmaster {verb} {name}" in capsys.readouterr().out.partition("Options:")[0], (verb, name)


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["exce", "*"], "exec"), (["jobs", "shwo", "1"], "show"), (["key"], "keys"), (["runs", "lst"], "ls")],
)
def test_a_mistyped_command_is_recognised(words: list[str], meant: str, capsys: Capture) -> None:
    assert main(words) == 2
    assert meant in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["exec", "*", "test.ping", "--timeout", "soon"],
        ["apply"],
        ["jobs", "show"],
        ["apply", "*", "--states", "/tmp"],
        ["plan", "--local", "x"],
        ["plan", "--local", "--states", "/does/not/exist", "x"],
        ["--output", "xml", "status"],
    ],
)
def test_wrong_usage_is_2_and_touches_no_master(words: list[str], master: FakeMaster) -> None:
    assert main(words) == 2
    assert master.calls == []


def test_completion_lists_the_minions(master: FakeMaster) -> None:
    master.answers["minions.list"] = [result(minions=[{"id": "osd1"}, {"id": "mon1"}])]
    environment = {**os.environ, "_STACKMASTER_COMPLETE": "bash_complete", "COMP_WORDS": "stackmaster exec o",
                   "COMP_CWORD": "2", "PYTHONPATH": str(ROOT)}  # fmt: skip
    code = "import sys; from master.main import main; sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "plain,osd1\n"


def test_control_characters_of_a_peer_do_not_reach_the_terminal() -> None:
    assert visible("a\x1b]0;title\x07b\n\t\x1b[2J") == "a\\x1b]0;title\\x07b\n\t\\x1b[2J"
    coloured = Screen(colour=True).style("x", "bad")
    assert visible(coloured) == coloured


def test_no_color_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert Screen().style("x", "bad") != "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen().style("x", "bad") == "x"
    assert Screen(colour=False).style("x", "bad") == "x"


def test_a_socket_that_speaks_something_else_is_named(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        pid = os.fork()
        if pid == 0:
            peer, _ = listener.accept()
            peer.recv(1000)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n")
            os._exit(0)
        assert main(["--socket", str(path), "status"]) == 1
        os.waitpid(pid, 0)
    assert "does not speak the master's API" in capsys.readouterr().err


def test_a_master_that_leaves_in_the_middle_is_told(master: FakeMaster, capsys: Capture) -> None:
    def leave(_args: Any) -> Any:
        raise OSError

    master.answers["status"] = leave
    assert main(["status"]) == 1
    assert "closed the connection" in capsys.readouterr().err


# --- apply and plan -------------------------------------------------------------------------------------------


def test_apply_asks_for_what_was_typed(master: FakeMaster, capsys: Capture) -> None:
    master.answers["jobs.start"] = [result(job=JOB, minions=["osd1"])]
    master.answers["jobs.watch"] = job_events({"osd1": {"state": "succeeded"}}, kind="apply")
    words = ["apply", "osd*", "ceph.conf,ceph.osd", "ntp", "--pillar", "a:b=1", "--env", "dev", "--test"]
    assert main(words) == 0
    assert master.asked("jobs.start") == {
        "target": "osd*", "target_kind": "compound", "kind": "apply", "sls": ["ceph.conf", "ceph.osd", "ntp"],
        "environment": "dev", "pillar": {"a": {"b": 1}}, "test": True,
    }  # fmt: skip


@pytest.mark.parametrize(("more", "code"), [([], 0), (["--exit-code"], 3)])
def test_a_plan_with_changes_is_3_only_when_asked(master: FakeMaster, more: list[str], code: int) -> None:
    steps = [step("file.managed", "/a", None, changes=[{"kind": "create", "subject": "/a"}])]
    master.answers["jobs.start"] = [result(job=JOB, minions=["osd1"])]
    master.answers["jobs.watch"] = job_events({"osd1": {"state": "succeeded", "steps": steps}}, kind="apply", test=True)
    assert main(["plan", "*", *more]) == code
    assert master.asked("jobs.start")["test"] is True


def test_an_sls_error_names_file_line_and_minion(master: FakeMaster, capsys: Capture) -> None:
    help = "did you mean 'file.managed'?"
    master.answers["jobs.start"] = [
        failed("sls", "there is no state 'file.manged'", exit_code=2, help=help, file="a.sls", line=3, minion="osd1")
    ]
    assert main(["apply", "*", "a"]) == 2
    err = capsys.readouterr().err
    assert "at: a.sls:3, minion osd1" in err
    assert help in err


# --- jobs -----------------------------------------------------------------------------------------------------

SHOWN = {
    "job": JOB, "kind": "apply", "function": "", "sls": ["a"], "target": "*", "test": False, "user": "root",
    "created": 100.0, "ended": 103.0, "states": {"succeeded": 1},
    "minions": {"osd1": {"state": "succeeded", "reason": "", "value": None, "steps": [step("file.managed", "/a")]}},
}  # fmt: skip


def test_a_job_is_shown_with_every_step_of_a_minion(master: FakeMaster, capsys: Capture) -> None:
    master.answers["jobs.show"] = [result(**SHOWN)]
    assert main(["jobs", "show", "3fa2bc", "--minion", "osd1"]) == 0
    assert master.asked("jobs.show") == {"job": "3fa2bc"}
    out = capsys.readouterr().out
    assert "✓ file.managed /a" in out
    assert "1 minion: 1 unchanged" in out


def test_a_minion_that_is_not_of_the_job_is_refused(master: FakeMaster, capsys: Capture) -> None:
    master.answers["jobs.show"] = [result(**SHOWN)]
    assert main(["jobs", "show", "3fa2bc", "--minion", "osd7"]) == 2
    assert "osd1" in capsys.readouterr().err


def test_jobs_are_listed(master: FakeMaster, capsys: Capture) -> None:
    master.answers["jobs.list"] = [result(jobs=[SHOWN])]
    assert main(["jobs", "ls"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["JOB", "WHAT", "TARGET", "STATE", "SINCE", "BY"]
    assert "apply a" in lines[1] and "1 succeeded" in lines[1]


def test_lists_for_programs_carry_their_schema(master: FakeMaster, capsys: Capture) -> None:
    master.answers["jobs.list"] = [result(jobs=[SHOWN, SHOWN])]
    assert main(["jobs", "ls", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "stackmaster.jobs/1"
    assert main(["jobs", "ls", "-o", "ndjson"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["jobs", "ls", "-o", "yaml"]) == 0
    assert capsys.readouterr().out.startswith("schema: stackmaster.jobs/1\n")


def test_a_job_is_watched_and_cancelled_by_a_part_of_its_id(master: FakeMaster) -> None:
    master.answers["jobs.show"] = [result(**SHOWN)]
    master.answers["jobs.watch"] = job_events({"osd1": {"state": "failed"}})
    master.answers["jobs.cancel"] = [result()]
    assert main(["jobs", "watch", "3fa2bc"]) == 4
    assert master.asked("jobs.watch") == {"job": JOB}
    assert main(["jobs", "cancel", "3fa2bc", "--minion", "osd1"]) == 0
    assert master.asked("jobs.cancel") == {"job": JOB, "minions": ["osd1"]}


# --- runs -----------------------------------------------------------------------------------------------------


def run_events(state: str, **ended: Any) -> list[dict[str, Any]]:
    return [
        event(f"run/{RUN}/new", sls=["deploy"], test=False, steps=[{"id": "a", "function": "salt.state"}]),
        event(f"run/{RUN}/step/a/started", function="salt.state"),
        event(f"run/{RUN}/step/a/ended", **ended),
        event(f"run/{RUN}/ended", state=state),
        result(state=state),
    ]


@pytest.mark.parametrize(
    ("state", "ended", "code"),
    [
        ("succeeded", {"result": True}, 0),
        ("failed", {"result": False, "minions": {"m": {"state": "failed"}}}, 4),
        ("failed", {"result": False, "minions": {"m": {"state": "lost"}}}, 5),
        ("cancelled", {"result": False}, 1),
    ],
)
def test_a_run_is_followed_to_its_end(master: FakeMaster, state: str, ended: dict[str, Any], code: int) -> None:
    master.answers["runs.start"] = [result(run=RUN)]
    master.answers["runs.watch"] = run_events(state, **ended)
    assert main(["run", "deploy", "--pillar", '{"a": 1}', "--dry-run"]) == code
    assert master.asked("runs.start") == {"sls": ["deploy"], "pillar": {"a": 1}, "test": True, "environment": "base"}


def test_a_run_for_programs(master: FakeMaster, capsys: Capture) -> None:
    master.answers["runs.start"] = [result(run=RUN)]
    master.answers["runs.watch"] = run_events("succeeded", result=True)
    assert main(["run", "deploy", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["state"], told["steps"][0]["state"]) == ("stackmaster.run/1", "succeeded", "succeeded")


def test_a_limit_for_watching_a_run_is_124_and_it_goes_on(master: FakeMaster, capsys: Capture) -> None:
    master.answers["runs.start"] = [result(run=RUN)]
    master.answers["runs.watch"] = [event(f"run/{RUN}/new", sls=["deploy"])]
    assert main(["run", "deploy", "--timeout", "0.3"]) == 124
    assert "goes on: stackmaster runs watch 00beef" in capsys.readouterr().err


def test_a_failed_run_is_shown_with_the_minions_that_failed(master: FakeMaster, capsys: Capture) -> None:
    steps = [{"id": "a", "function": "salt.state", "state": "ended", "result": False, "comment": "Run failed on: osd1",
              "job": JOB, "minions": {"osd1": {"state": "failed"}}, "ran": True}]  # fmt: skip
    master.answers["runs.show"] = [result(run=RUN, sls=["deploy"], state="failed", began=1.0, ended=2.0, steps=steps)]
    bad = {"osd1": {"state": "failed", "steps": [step("file.managed", "/a", False, comment="no space")]}}
    master.answers["jobs.show"] = [result(**{**SHOWN, "minions": bad})]
    assert main(["runs", "show", "00beef"]) == 0
    out = capsys.readouterr().out
    assert "FAILED step a" in out
    assert "no space" in out


# --- the rest -------------------------------------------------------------------------------------------------


def test_keys_are_listed_and_decided(master: FakeMaster, capsys: Capture) -> None:
    keys = [{"id": "a", "state": "accepted", "fingerprint": "1"}, {"id": "b", "state": "pending", "fingerprint": "2"}]
    master.answers["keys.list"] = [result(keys=keys)]
    master.answers["keys.accept"] = [result(ids=["b"])]
    master.answers["keys.reject"] = [result(ids=[])]
    assert main(["keys", "ls"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].startswith("b")
    assert "stackmaster keys accept b" in err
    assert main(["keys", "accept", "b"]) == 0
    assert capsys.readouterr().out == "accepted: b\n"
    assert main(["keys", "reject", "z*"]) == 6


def test_a_token_is_the_only_thing_on_standard_output(master: FakeMaster, capsys: Capture) -> None:
    master.answers["keys.token"] = [result(token="sm1-x")]
    assert main(["keys", "token", "--ttl", "10m", "--uses", "3"]) == 0
    assert capsys.readouterr().out == "sm1-x\n"
    assert master.asked("keys.token") == {"ttl": 600.0, "uses": 3}


def test_a_target_that_means_nobody_is_6(master: FakeMaster, capsys: Capture) -> None:
    master.answers["target.show"] = [result(minions=["osd1", "osd2"])]
    assert main(["target", "show", "-E", "osd.*"]) == 0
    assert capsys.readouterr().out == "osd1\nosd2\n"
    assert master.asked("target.show") == {"target": "osd.*", "kind": "pcre"}
    master.answers["target.show"] = [result(minions=[])]
    assert main(["target", "show", "x*"]) == 6


def test_events_are_followed_until_enough_came(master: FakeMaster, capsys: Capture) -> None:
    master.answers["events.tail"] = [event("minion/osd1/lost", why="x"), event("minion/osd2/lost"), event("m/x")]
    assert main(["events", "tail", "minion/*", "--count", "2", "--since", "0"]) == 0
    out = capsys.readouterr().out
    assert 'minion/osd1/lost  {"why": "x"}' in out
    assert master.asked("events.tail") == {"pattern": "minion/*", "since": 0}


def test_waiting_for_events_that_do_not_come_ends(master: FakeMaster) -> None:
    master.answers["events.tail"] = []
    assert main(["events", "tail", "--timeout", "0.2"]) == 124


def test_status_version_and_minions(master: FakeMaster, capsys: Capture) -> None:
    minions = {"accepted": 3, "connected": 2}
    master.answers["status"] = [result(version="9", minions=minions, uptime=100.0, jobs_running=1, runs_running=0)]
    master.answers["minions.list"] = [
        result(minions=[{"id": "osd1", "connected": True}, {"id": "osd2", "connected": False}])
    ]
    master.answers["minions.show"] = [result(id="osd1", grains={"os": "Debian"})]
    assert main(["status"]) == 0
    assert "2 of 3 connected" in capsys.readouterr().out
    assert main(["version"]) == 0
    assert main(["minions", "ls"]) == 0
    assert "away: osd2" in capsys.readouterr().err
    assert main(["minions", "show", "osd1"]) == 0
    assert "os: Debian" in capsys.readouterr().out


def test_states_and_functions_are_described_without_a_master(capsys: Capture) -> None:
    assert main(["doc", "test.echo"]) == 0
    assert "text:" in capsys.readouterr().out
    assert main(["doc", "test.ehco"]) == 2
    assert "test.echo" in capsys.readouterr().err


def test_configuration_is_checked_and_shown_with_its_origin(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "master.yaml"
    file.write_text("heartbeat: 2\nsocket: /x/y\n")
    assert main(["config", "check", "--config", str(file)]) == 0
    assert main(["config", "show", "--origin", "--config", str(file), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert told["settings"]["heartbeat"] == 2.0
    assert told["origins"]["heartbeat"] == f"{file}:1"
    file.write_text("heartbeet: 2\n")
    assert main(["config", "check", "--config", str(file)]) == 2
    err = capsys.readouterr().err
    assert f"{file}:1" in err and "heartbeat" in err


def test_the_configuration_names_the_socket(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "master.yaml"
    file.write_text(f"socket: {tmp_path}/elsewhere.sock\n")
    assert main(["--config", str(file), "status"]) == 1
    assert "elsewhere.sock" in capsys.readouterr().err
