"""Commands end with what they wrote, at their deadline, or with an error that hides secrets."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from protocol import limits
from protocol.errors import StateError
from protocol.secrets import Scrubber, Secret
from states.context import Context
from states.host import process


@pytest.fixture
def ctx() -> Context:
    return Context(minion="m1", grains={}, deadline=20.0)


def test_output_and_status_are_given(ctx: Context) -> None:
    done = process.run(ctx, ["sh", "-c", "echo out; echo err >&2; exit 3"], accept=(3,))
    assert (done.status, done.stdout, done.stderr, done.output) == (3, "out\n", "err\n", "out\nerr\n")
    assert done.argv[0] == "sh"
    assert 0 < done.duration < 20


def test_environment_is_minimal(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAK", "1")
    done = process.run(ctx, ["env"], env={"MORE": Secret("hidden-value")})
    keys = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert keys == {"PATH", "LC_ALL", "HOME", "MORE"}
    assert "MORE=hidden-value" in done.stdout
    assert "LC_ALL=C.UTF-8" in done.stdout


@pytest.mark.parametrize("data", ["hello", b"hello", Secret("hello")])
def test_stdin_is_fed(ctx: Context, data: str | bytes) -> None:
    assert process.run(ctx, ["cat"], stdin=data).stdout == "hello"


def test_large_stdin_and_output_do_not_deadlock(ctx: Context) -> None:
    data = b"x" * (limits.MAX_OUTPUT * 3)
    done = process.run(ctx, ["cat"], stdin=data)
    assert limits.MAX_OUTPUT * 2 <= done.left_out <= limits.MAX_OUTPUT * 2 + 8192
    assert len(done.stdout) < limits.MAX_OUTPUT + 100
    assert f"[{done.left_out} bytes of output left out]" in done.stdout


def test_stdin_that_nobody_reads_is_dropped(ctx: Context) -> None:
    assert process.run(ctx, ["true"], stdin=b"x" * 5_000_000).status == 0


def test_no_stdin_is_the_null_device(ctx: Context) -> None:
    assert process.run(ctx, ["cat"]).stdout == ""


def test_a_bad_status_is_an_error_with_the_last_lines(ctx: Context) -> None:
    script = "for i in $(seq 40); do echo line$i >&2; done; exit 9"
    with pytest.raises(process.CommandError) as caught:
        process.run(ctx, ["sh", "-c", script])
    assert caught.value.completed.status == 9
    assert "exit status 9" in caught.value.message
    assert "line40" in caught.value.message
    assert "line20" not in caught.value.message.splitlines()


def test_errors_are_scrubbed(ctx: Context) -> None:
    ctx.scrubber = Scrubber(["top-secret-word"])
    with pytest.raises(process.CommandError) as caught:
        process.run(ctx, ["sh", "-c", "echo $WORD >&2; exit 1"], env={"WORD": "top-secret-word"})
    assert "top-secret-word" not in str(caught.value)
    assert "***" in str(caught.value)


def test_a_secret_at_the_cut_of_long_output_is_not_told_in_halves(ctx: Context) -> None:
    ctx.scrubber = Scrubber(["SuperSecretWord"])
    half = limits.MAX_OUTPUT // 2
    data = b"x" * (half - 8) + b"SuperSecretWord" + b"\n" * limits.MAX_OUTPUT * 2
    done = process.run(ctx, ["cat"], stdin=data)
    assert "SuperSec" not in ctx.scrubber.text(done.stdout)


def test_a_known_secret_inside_an_argument_is_refused(ctx: Context) -> None:
    ctx.scrubber = Scrubber(["swordfish"])
    with pytest.raises(StateError, match="secret on the command line"):
        process.run(ctx, ["echo", "--key=swordfish"])


def test_a_secret_in_argv_is_refused(ctx: Context) -> None:
    with pytest.raises(StateError, match="secret on the command line") as caught:
        process.run(ctx, ["echo", Secret("swordfish")])
    assert "swordfish" not in str(caught.value)


def test_the_deadline_ends_the_whole_group(ctx: Context, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 300 & echo $! $$ > {pids}; wait"
    started = time.monotonic()
    with pytest.raises(process.CommandTimeout, match=r"did not end within 0\.5 s"):
        process.run(ctx, ["sh", "-c", script], deadline=0.5)
    assert time.monotonic() - started < process.TERM_GRACE + 5
    _wait_gone([int(pid) for pid in pids.read_text().split()])


def test_a_command_that_ignores_sigterm_is_killed(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TERM_GRACE", 0.2)
    with pytest.raises(process.CommandTimeout) as caught:
        process.run(ctx, ["sh", "-c", "trap '' TERM; while :; do :; done"], deadline=0.3)
    assert caught.value.completed.status == -signal.SIGKILL


def test_endless_output_does_not_outlive_the_deadline(ctx: Context) -> None:
    with pytest.raises(process.CommandTimeout) as caught:
        process.run(ctx, ["yes"], deadline=0.5)
    assert len(caught.value.completed.stdout) < limits.MAX_OUTPUT + 100


def test_a_daemon_that_keeps_the_pipe_does_not_hold_us(ctx: Context, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    started = time.monotonic()
    done = process.run(ctx, ["sh", "-c", f"sleep 60 & echo $! > {pid}; echo ready"])
    os.kill(int(pid.read_text()), signal.SIGKILL)
    assert done.stdout == "ready\n"
    assert time.monotonic() - started < 30


def test_the_deadline_of_the_context_is_the_longest(ctx: Context) -> None:
    ctx.deadline = 0.3
    with pytest.raises(process.CommandTimeout):
        process.run(ctx, ["sleep", "60"], deadline=500)


def test_a_missing_command_says_so(ctx: Context) -> None:
    with pytest.raises(process.CommandMissing, match="no command no-such-thing"):
        process.run(ctx, ["no-such-thing"])


def test_a_missing_directory_says_so(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no directory"):
        process.run(ctx, ["true"], cwd=tmp_path / "nowhere")


def test_the_exception_of_a_signal_handler_ends_the_command(ctx: Context, tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, stop)
    script = f"read go; echo $$ > {pid}; kill -USR1 {os.getpid()}; sleep 300"
    try:
        with pytest.raises(KeyboardInterrupt):
            process.run(ctx, ["sh", "-c", script], stdin="go\n")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not _alive(int(pid.read_text()))


def test_it_runs_as_an_account_in_a_folder(ctx: Context, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    nobody = process.Account(65534, 65534, ())
    done = process.run(ctx, ["sh", "-c", "id -u; id -G; umask; pwd"], account=nobody, cwd=Path("/tmp"))
    assert done.stdout.split() == ["65534", "65534", "0022", "/tmp"]


def test_a_private_root_hides_the_commands_of_the_host(ctx: Context, tmp_path: Path) -> None:
    assert process.locate(ctx, "true") is not None
    ctx.root = tmp_path
    assert process.locate(ctx, "true") is None
    with pytest.raises(process.CommandMissing):
        process.require(ctx, "true")
    fake = tmp_path / "usr" / "bin" / "true"
    fake.parent.mkdir(parents=True)
    fake.write_text("#!/bin/sh\n")
    assert process.locate(ctx, "true") is None
    fake.chmod(0o755)
    assert process.require(ctx, "true") == str(fake)


def test_a_signal_is_named(ctx: Context) -> None:
    with pytest.raises(process.CommandError, match="signal SIGKILL"):
        process.run(ctx, [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])


def _wait_gone(pids: list[int]) -> None:
    """A killed process that is not our child is gone a moment after the signal."""
    until = time.monotonic() + 10
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < until, f"still there: {pids}"


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
