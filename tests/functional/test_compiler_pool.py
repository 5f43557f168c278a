"""The compiling processes: what they give is what the compiler gives, and no template can outlive its limits."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from master.compiler.blobs import SMALL
from master.compiler.compile import Request, compile_assignment, compile_pillar
from master.compiler.pool import Limits, Pool
from protocol.errors import RefusedError, SlsError, StackmasterError
from protocol.secrets import Secret
from tests.unit.compiler_tree import request

QUICK = Limits(memory=512 * 1024 * 1024, cpu=2, deadline=30, workers=2, idle=0.2)

Trial = Callable[[Pool], Coroutine[Any, Any, None]]


def _run(trial: Trial, limits: Limits = QUICK) -> None:
    async def main() -> None:
        pool = Pool(limits)
        try:
            async with asyncio.timeout(100):
                await trial(pool)
        finally:
            await pool.close()
        assert pool.processes == 0

    asyncio.run(main())


def test_the_low_chunks_come_through_a_process(tmp_path: Path) -> None:
    async def trial(pool: Pool) -> None:
        good: Any = await pool.low(request(tmp_path, "a:\n  test.nop:\n    - order: last\nb: nothing.there\n"))
        assert good["errors"] == []
        told = [(low["state"], low["fun"], low["__id__"], low["order"]) for low in good["applied"]]
        assert told == [("nothing", "there", "b", 10000), ("test", "nop", "a", 1010100)]
        assert good["low"] == good["applied"]
        bad: Any = await pool.low(request(tmp_path, "a:\n  test.nop:\n    - require: [b]\n    - order: last\n"))
        assert [(error["file"], error["line"]) for error in bad["errors"]] == [("main.sls", 3)]
        assert bad["applied"] == []

    _run(trial)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def _processes() -> list[int]:
    """The compiling processes of this one."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            if b"master.compiler.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


def _full(tmp_path: Path) -> Request:
    files: dict[str, str | bytes] = {
        "main.sls": (
            "a:\n  file.managed:\n    - name: /a\n    - source: salt://x\n    - template: jinja\n"
            "    - user: {{ pillar.user }}\n    - require: [b]\n"
            "b:\n  file.managed:\n    - name: /b\n    - source: salt://big\n"
            "{% do salt['log.warning']('careful') %}"
        ),
        "x": "{{ pillar.password }} {{ grains.odd }} {{ pillar.given }}",
        "big": b"x" * (SMALL + 1),
    }
    grains = {"odd": "a: b\n- c", "numbers": [1, 2.5, None, True]}
    override = {"given": Secret("override-secret")}
    return request(
        tmp_path,
        files,
        pillar="password: hunter2-hunter2\nuser: root\n5: {6: 7}\n",
        grains=grains,
        pillar_override=override,
    )


def test_a_process_gives_what_the_compiler_gives(tmp_path: Path) -> None:
    asked = _full(tmp_path)

    async def trial(pool: Pool) -> None:
        got, wanted = await pool.compile(asked), compile_assignment(asked)
        assert got.assignment.encoded() == wanted.assignment.encoded()
        assert got.blobs == wanted.blobs
        assert got.warnings == wanted.warnings == ("careful",)
        assert got.pillar == wanted.pillar == await pool.pillar(asked) == compile_pillar(asked)
        assert isinstance(got.pillar["password"], Secret)
        assert got.assignment.secrets == ("hunter2-hunter2", "override-secret")

    _run(trial)


def test_an_error_comes_with_its_place_and_help_and_the_process_goes_on(tmp_path: Path) -> None:
    asked = request(tmp_path, {"main.sls": "a: test.nop\n", "bad.sls": "\na: test.nopp\n"})

    async def trial(pool: Pool) -> None:
        await pool.compile(asked)
        before = _processes()
        with pytest.raises(SlsError) as caught:
            await pool.compile(replace(asked, sls=("bad",)))
        assert str(caught.value) == "bad.sls:2: there is no state 'test.nopp' (id 'a'; did you mean 'test.nop'?)"
        await pool.compile(asked)
        assert _processes() == before
        assert len(before) == 1

    _run(trial)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "2 s of processor time"),
        ("{{ ('a' * 40) | regex_match('(a+)+b') }}", "2 s of processor time"),
        ("{{ 9 ** (9 ** 9) }}", "2 s of processor time"),
        ("{{ 'a' * 10000000000 }}", "512 MiB of memory"),
        ("{{ '%9999999999d' % 1 }}", "512 MiB of memory"),
        ("{{ '{:>9999999999}'.format(1) }}", "512 MiB of memory"),
        ("{% set x = [] %}{% for i in range(99999) %}{% do x.append([i] * 99999) %}{% endfor %}", "512 MiB of memory"),
        ("{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "longer than"),
        ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "without end"),
    ],
)
def test_a_bomb_ends_its_process_and_nothing_else(tmp_path: Path, template: str, message: str) -> None:
    asked = request(tmp_path, {"main.sls": "a: test.nop\n", "bomb.sls": template})

    async def trial(pool: Pool) -> None:
        with pytest.raises(SlsError, match=message):
            await pool.compile(replace(asked, sls=("bomb",)))
        (chunk,) = (await pool.compile(asked)).assignment.chunks
        assert chunk.id == "a"

    _run(trial)


def test_the_deadline_holds_whatever_the_process_does(tmp_path: Path) -> None:
    asked = request(tmp_path, {"main.sls": "a: test.nop\n"})

    async def trial(pool: Pool) -> None:
        await pool.compile(asked)
        (process,) = _processes()
        os.kill(process, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(SlsError, match=r"rendering main for m1 took more than 1 s"):
            await pool.compile(asked)
        assert time.monotonic() - started < 10
        assert process not in _processes()
        await pool.compile(asked)

    _run(trial, replace(QUICK, deadline=1.0, idle=30))


def test_a_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    asked = request(tmp_path, {"main.sls": "a: test.nop\n", "slow.sls": "{{ 9 ** (9 ** 9) }}"})

    async def trial(pool: Pool) -> None:
        task = asyncio.create_task(pool.compile(replace(asked, sls=("slow",))))
        await _until(lambda: bool(_processes()))
        os.kill(_processes()[0], signal.SIGKILL)
        with pytest.raises(StackmasterError, match="ended unexpectedly"):
            await task
        await pool.compile(asked)

    _run(trial)


def test_a_cancelled_request_takes_its_process_with_it(tmp_path: Path) -> None:
    asked = request(tmp_path, {"main.sls": "a: test.nop\n", "slow.sls": "{{ 9 ** (9 ** 9) }}"})

    async def trial(pool: Pool) -> None:
        task = asyncio.create_task(pool.compile(replace(asked, sls=("slow",))))
        await _until(lambda: bool(_processes()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not _processes()
        await pool.compile(asked)

    _run(trial, replace(QUICK, cpu=60))


def test_there_are_no_more_processes_than_allowed_and_none_at_rest(tmp_path: Path) -> None:
    asked = request(tmp_path, "a: test.nop\n")

    async def trial(pool: Pool) -> None:
        assert not _processes()
        most = 0
        tasks = [asyncio.create_task(pool.compile(asked)) for _ in range(40)]
        while not all(task.done() for task in tasks):
            most = max(most, pool.processes)
            await asyncio.sleep(0)
        assert {task.result().assignment.minion for task in tasks} == {"m1"}
        assert 1 <= most <= 2
        await _until(lambda: pool.processes == 0)
        assert not _processes()

    _run(trial)


def test_too_many_waiting_requests_are_refused(tmp_path: Path) -> None:
    asked = request(tmp_path, "a: test.nop\n")

    async def trial(pool: Pool) -> None:
        tasks = [asyncio.create_task(pool.compile(asked)) for _ in range(5)]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in found].count(RefusedError) == 2
        await pool.compile(asked)

    _run(trial, replace(QUICK, waiting=3))


def test_a_closed_pool_takes_nothing(tmp_path: Path) -> None:
    asked = request(tmp_path, "a: test.nop\n")

    async def trial(pool: Pool) -> None:
        await pool.compile(asked)
        await pool.close()
        assert not _processes()
        with pytest.raises(RefusedError):
            await pool.compile(asked)

    _run(trial)


def test_a_process_holds_nothing_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKMASTER_TEST_SECRET", "canary-in-the-environment")
    asked = request(tmp_path, "a: test.nop\n")

    async def trial(pool: Pool) -> None:
        await pool.compile(asked)
        (process,) = _processes()
        assert b"canary" not in Path(f"/proc/{process}/environ").read_bytes()
        limits = Path(f"/proc/{process}/limits").read_text()
        assert "Max file size             0 " in limits
        assert f"Max address space         {QUICK.memory} " in limits

    _run(trial, replace(QUICK, idle=30))
