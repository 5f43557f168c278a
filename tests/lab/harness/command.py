"""How the lab runs a command: in its own process group, with a deadline, its output in files.

Output goes to unnamed files and not to pipes, because a command that leaves a daemon behind would
keep a pipe open and a reader would wait for the daemon.
"""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

from tests.lab.harness.errors import CommandFailed, CommandTimedOut


def run(
    argv: Sequence[str],
    *,
    stdin: str | bytes = b"",
    timeout: float = 60,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    where: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a command and give back its code and its output as text."""
    done = run_bytes(argv, stdin=stdin, timeout=timeout, env=env, pass_fds=pass_fds)
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if check and done.returncode != 0:
        raise CommandFailed(argv, done.returncode, out + err, where)
    return subprocess.CompletedProcess(list(argv), done.returncode, out, err)


def run_bytes(
    argv: Sequence[str],
    *,
    stdin: str | bytes = b"",
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run a command and give back its code and its output as it came."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode() if isinstance(stdin, str) else stdin)
        given.seek(0)
        process = subprocess.Popen(
            list(argv), stdin=given, stdout=out, stderr=err, env=env, pass_fds=pass_fds, start_new_session=True
        )
        code = _wait(process, timeout, argv, (out, err))
        return subprocess.CompletedProcess(list(argv), code, _content(out), _content(err))


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in its own session, with all its group, and collect it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], timeout: float, argv: Sequence[str], written: Sequence[IO[bytes]]) -> int:
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        kill_group(process)
        said = b"".join(_content(file) for file in written).decode(errors="replace")
        line = " ".join(argv)[:300]
        raise CommandTimedOut(f"still running after {timeout:g} s: {line}\n{said[-4000:]}") from None
    except BaseException:
        kill_group(process)
        raise


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
