"""`stackmaster exec` against an API that answers as told: requests, output, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from master.main import main
from tests.unit.fake_cli_master import JOB, FakeMaster, event, failed, job_events, result


@pytest.fixture
def master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMaster]:
    path = tmp_path / "master.sock"
    monkeypatch.setenv("STACKMASTER_SOCKET", str(path))
    with FakeMaster(path, {"jobs.start": [result(job=JOB, minions=["osd1", "osd2"])]}) as fake:
        yield fake


def ends(master: FakeMaster, **minions: Any) -> None:
    master.answers["jobs.watch"] = job_events(minions)


def test_the_request_says_what_was_typed(master: FakeMaster) -> None:
    ends(master, osd1={"state": "succeeded", "value": True})
    assert main(["exec", "-G", "os:Debian", "cmd.run", "uptime", "cwd=/tmp", "timeout_s=5", "--timeout", "2m"]) == 0
    asked = master.asked("jobs.start")
    assert asked == {
        "target": "os:Debian", "target_kind": "grain", "kind": "call", "function": "cmd.run", "args": ["uptime"],
        "kwargs": {"cwd": "/tmp", "timeout_s": 5}, "timeout": 120.0,
    }  # fmt: skip


def test_words_that_look_like_options_reach_the_function(master: FakeMaster) -> None:
    ends(master, osd1={"state": "succeeded", "value": ""})
    assert main(["exec", "osd1", "cmd.run", "--", "-la", "--output"]) == 0
    assert master.asked("jobs.start")["args"] == ["-la", "--output"]


def test_identical_answers_are_folded(master: FakeMaster, capsys: pytest.CaptureFixture[str]) -> None:
    ends(
        master,
        osd1={"state": "succeeded", "value": "up"},
        osd2={"state": "succeeded", "value": "up"},
        mon1={"state": "succeeded", "value": {"a": 1}},
    )
    assert main(["exec", "*", "test.ping"]) == 0
    assert capsys.readouterr().out == "mon1:\n    a: 1\nosd[1-2]:\n    up\n"


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["succeeded"], 0),
        (["succeeded", "failed", "lost"], 4),
        (["succeeded", "lost"], 5),
        (["succeeded", "timed out"], 5),
        (["succeeded", "refused"], 7),
        (["cancelled"], 1),
    ],
)
def test_the_exit_code_says_how_it_went(master: FakeMaster, states: list[str], code: int) -> None:
    ends(master, **{f"m{at}": {"state": state} for at, state in enumerate(states)})
    assert main(["exec", "*", "test.ping"]) == code


def test_a_limit_of_the_caller_that_runs_out_is_124(master: FakeMaster) -> None:
    ends(master, osd1={"state": "timed out", "reason": "after 5 s"})
    assert main(["exec", "*", "test.ping", "--timeout", "5"]) == 124


def test_who_failed_is_told_with_the_reason_and_the_next_command(
    master: FakeMaster, capsys: pytest.CaptureFixture[str]
) -> None:
    ends(master, osd1={"state": "succeeded", "value": True}, osd2={"state": "failed", "reason": "no such unit"})
    assert main(["exec", "*", "service.status", "x"]) == 4
    out = capsys.readouterr().out
    assert "FAILED osd2  no such unit" in out
    assert "next: stackmaster jobs show 3fa2bc --minion osd2" in out


def test_json_is_one_document_and_nothing_else_on_standard_output(
    master: FakeMaster, capsys: pytest.CaptureFixture[str]
) -> None:
    ends(master, osd1={"state": "failed", "reason": "x", "value": [1]})
    assert main(["exec", "*", "test.ping", "-o", "json"]) == 4
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["schema"] == "stackmaster.job/1"
    assert told["exit_code"] == 4
    assert told["minions"]["osd1"] == {"state": "failed", "reason": "x", "value": [1], "steps": []}
    assert err == ""


def test_ndjson_is_a_record_an_event_and_then_the_job(master: FakeMaster, capsys: pytest.CaptureFixture[str]) -> None:
    ends(master, osd1={"state": "succeeded", "value": 1})
    assert main(["--output", "ndjson", "exec", "*", "test.ping"]) == 0
    schemas = [json.loads(line)["schema"] for line in capsys.readouterr().out.splitlines()]
    assert schemas == ["stackmaster.event/1"] * 3 + ["stackmaster.job/1"]


def test_an_error_of_the_master_is_one_block_with_place_and_advice(
    master: FakeMaster, capsys: pytest.CaptureFixture[str]
) -> None:
    master.answers["jobs.start"] = [
        failed("target.empty", "'x*' matches nobody", exit_code=6, help="`stackmaster minions ls`", minion="m")
    ]
    assert main(["exec", "x*", "test.ping"]) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Error: 'x*' matches nobody\n   at: minion m\n  try: `stackmaster minions ls`\n"


def test_a_minion_that_never_begins_is_withdrawn_from(master: FakeMaster, capsys: pytest.CaptureFixture[str]) -> None:
    new = event(f"job/{JOB}/new", kind="call", function="test.ping", minions=["osd1", "osd2"])
    done = event(f"job/{JOB}/minion/osd1/state", state="succeeded", value=True)
    rest = [event(f"job/{JOB}/minion/osd2/state", state="cancelled"), result(states={})]
    cancelled = __import__("threading").Event()

    def cancel(_args: Any) -> Any:
        cancelled.set()
        return [result()]

    def watch(_args: Any) -> Any:
        yield new
        yield done
        assert cancelled.wait(20)
        yield from rest

    master.answers["jobs.watch"] = watch
    master.answers["jobs.cancel"] = cancel
    assert main(["exec", "*", "test.ping", "--answer-within", "0.1"]) == 5
    assert master.asked("jobs.cancel") == {"job": JOB, "minions": ["osd2"]}
    assert "LOST osd2" in capsys.readouterr().out


def test_detach_prints_the_id_only(master: FakeMaster, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exec", "*", "test.ping", "--detach"]) == 0
    assert capsys.readouterr().out == JOB + "\n"


def test_ctrl_c_leaves_and_says_how_to_come_back(
    master: FakeMaster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("master.cli.client.Stream.next", interrupted)
    assert main(["exec", "*", "test.ping"]) == 130
    err = capsys.readouterr().err
    assert "stackmaster jobs watch 3fa2bc" in err
    assert "stackmaster jobs cancel 3fa2bc" in err


def test_a_master_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STACKMASTER_SOCKET", str(tmp_path / "none.sock"))
    assert main(["exec", "*", "test.ping"]) == 1
    err = capsys.readouterr().err
    assert "none.sock" in err
    assert "systemctl start stackmaster" in err


def test_a_function_without_family_is_refused_with_the_right_order(
    master: FakeMaster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["exec", "osd1", "ping"]) == 2
    assert "test.ping" in capsys.readouterr().err
