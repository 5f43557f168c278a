"""The real master on a disk that is full: it goes on with its work, forgets old history, and says so."""

from __future__ import annotations

import asyncio
import math
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from master.store import history, queries
from master.store.store import Store, Transaction
from protocol.messages import EventRaised
from tests.functional.master_process import MasterProcess, wait_for
from tests.functional.wire_peer import WirePeer

SIZE = 12_000_000


@pytest.fixture
def small(tmp_path: Path) -> Iterator[MasterProcess]:
    """A master, not started yet, whose state lies on a disk of 12 MB."""
    (tmp_path / "state").mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(tmp_path / "state")]
    subprocess.run(mounted, check=True, timeout=10)
    master = MasterProcess(tmp_path, {"heartbeat": 3.0})
    try:
        yield master
    finally:
        master.stop()
        subprocess.run(["umount", "-l", str(tmp_path / "state")], check=True, timeout=10)


def done(master: MasterProcess, peer: WirePeer) -> str:
    """The state that a job ends in."""
    job = master.call("jobs.start", target="osd1", function="test.ping", timeout=20.0)["job"]

    def ended() -> bool:
        peer.work(0.02)
        return bool(master.call("jobs.show", job=job)["ended"])

    wait_for(ended, f"the end of job {job}")
    return str(master.call("jobs.show", job=job)["minions"]["osd1"]["state"])


def test_a_full_disk_costs_history_and_no_job(small: MasterProcess) -> None:
    small.start()
    assert (small.state_dir / "reserve").stat().st_size > 2_000_000
    with small.admit(small.peer("osd1")) as peer:
        peer.join()
        peer.answer = lambda call: "z" * 150_000
        states = [done(small, peer) for _ in range(60)]
        assert states == ["succeeded"] * 60
        assert small.call("status")["store_full"] is True
        assert any(event.tag == "master/disk/full" for event in small.events("master/*"))
        assert len(small.call("jobs.list", limit=100)["jobs"]) < 60
        assert small.call("keys.token", uses=1, ttl=60.0)["token"]
        assert "Traceback" not in small.logged()
        small.kill()
        small.start()
        peer.leave()
        peer.connect()
        assert done(small, peer) == "succeeded"


def test_a_disk_that_others_filled_up_stops_nothing(small: MasterProcess) -> None:
    small.start()
    with small.admit(small.peer("osd1")) as peer:
        peer.join()
        peer.answer = lambda call: "z" * 50_000
        states = [done(small, peer) for _ in range(10)]
        with (small.state_dir / "filler").open("wb") as filler, pytest.raises(OSError, match="No space"):
            while True:
                filler.write(b"x" * 65536)
                filler.flush()
        states += [done(small, peer) for _ in range(40)]
        assert set(states) == {"succeeded"}
        small.kill()
        small.start()
        peer.leave()
        peer.connect()
        assert done(small, peer) == "succeeded"


def noted(tx: Transaction, at: float) -> None:
    tx.event("a", {"x": "y" * 10_000}, at)


def test_the_oldest_goes_in_small_steps_whatever_the_clock_said(tmp_path: Path) -> None:
    async def use() -> None:
        store = Store(tmp_path / "db")
        store.open()
        tomorrow = time.time() + 86400
        for number in range(40):
            at = tomorrow if number < 20 else time.time()
            await store.write(partial(noted, at=at))
        steps = 0
        while await store.write(lambda tx: history.forget(tx, math.inf, 50_000)):
            steps += 1
        left = await store.read(lambda rows: queries.events(rows, 0, 100))
        await store.close()
        assert steps >= 8 and [event.seq for event in left] == [40]

    asyncio.run(use())


def test_events_of_what_goes_on_stay_until_nothing_else_is_left(small: MasterProcess) -> None:
    small.start()
    with small.admit(small.peer("osd1")) as peer:
        peer.join()
        peer.obey = lambda job, order: None  # type: ignore[method-assign]
        job = small.call("jobs.start", target="osd1", function="test.ping", timeout=60.0)["job"]
        peer.until(lambda: peer.orders, "the order")
        peer.report(*(EventRaised("noise", {"n": number}, time.time()) for number in range(50)))
        peer.until(lambda: peer.acknowledged, "the acknowledgement")
    small.stop()

    async def forget() -> list[str]:
        store = Store(small.state_dir / "master.db")
        store.open()
        while await store.write(lambda tx: history.forget(tx)):
            pass
        left = await store.read(lambda rows: queries.events(rows, 0, 100))
        while await store.write(lambda tx: history.forget(tx, ongoing=True)):
            pass
        assert len(await store.read(lambda rows: queries.events(rows, 0, 100))) == 1
        await store.close()
        return [event.tag for event in left]

    assert asyncio.run(forget())[0] == f"job/{job}/new"
