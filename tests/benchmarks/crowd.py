"""What many minions cost a real master: to connect them, to ping them all with every reply stored, to store events.

The minions are one process of sockets, each with a key of its own and CURVE; so half of the machine is theirs.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import zmq

from master.cli.client import Client
from protocol import WIRE_VERSION, codec, sockets
from protocol.command import Header, Sealed
from protocol.identity import Identity, PublicIdentity, generate
from protocol.messages import TO_MINION, EventRaised, Hello, JobUpdate, Report
from protocol.results import JobState
from tests.benchmarks.idle import pss, tree
from tests.functional.master_process import MasterProcess, wait_for
from tests.functional.wire_peer import enrol_request

ROUNDS = 7


def crowd(control: Connection, master: PublicIdentity, port: int, door: int, secret: str, count: int) -> None:
    """Be `count` minions: enrol, say hello, then obey until told to end."""
    context = sockets.context()
    context.set(zmq.MAX_SOCKETS, 2 * count + 64)
    context.set(zmq.IO_THREADS, 2)
    identities = [generate() for _ in range(count)]
    for first in range(0, count, 100):
        _enrol(context, identities[first : first + 100], first, master, door, secret)
    control.send("enrolled")
    control.recv()
    poller = zmq.Poller()
    names: dict[zmq.Socket[bytes], str] = {}
    for number, identity in enumerate(identities):
        one = sockets.connecting(context, identity, master.curve, f"tcp://127.0.0.1:{port}")
        one.send(codec.encode(Hello(WIRE_VERSION, "0-bench", "boot", f"machine-{number}", 0)))
        names[one] = f"m{number}"
        poller.register(one, zmq.POLLIN)
    reports = dict.fromkeys(names, 0)
    while True:
        if control.poll(0):
            told = control.recv()
            if told == "end":
                break
            _flood(names, reports, *told)
        for ready, _ in poller.poll(50):
            _obey(ready, reports)
    for one in names:
        one.close(linger=0)
    context.term()


def _enrol(
    context: zmq.Context[zmq.Socket[bytes]], some: list[Identity], first: int, master: PublicIdentity, door: int,
    secret: str,
) -> None:  # fmt: skip
    asking = []
    for number, identity in enumerate(some, first):
        one = sockets.connecting(context, identity, master.curve, f"tcp://127.0.0.1:{door}")
        one.send(codec.encode(enrol_request(identity, f"m{number}", secret)))
        asking.append(one)
    for one in asking:
        assert one.poll(30_000), "no answer from the door"
        one.recv()
        one.close(linger=0)


def _obey(one: zmq.Socket[bytes], reports: dict[zmq.Socket[bytes], int]) -> None:
    while True:
        try:
            message = codec.decode(one.recv(zmq.DONTWAIT), TO_MINION)
        except zmq.Again:
            return
        if isinstance(message, Sealed):
            # checking the signature is a minion's work, and one process cannot do it for all at once
            job = header_job(message.header)
            reports[one] += 1
            ended = JobUpdate(job, JobState.SUCCEEDED, time.time(), "", True)
            one.send(codec.encode(Report(reports[one], (ended,))))


@functools.cache
def header_job(header: bytes) -> str:
    """The job that a command's header names."""
    return codec.decode(header, codec.table(Header)).job


def _flood(names: dict[zmq.Socket[bytes], str], reports: dict[zmq.Socket[bytes], int], each: int, records: int) -> None:
    """Every minion raises `each` Reports of `records` events."""
    event = EventRaised("bench", {"value": 1, "text": "x" * 100}, time.time())
    for _ in range(each):
        for one in names:
            reports[one] += 1
            one.send(codec.encode(Report(reports[one], (event,) * records)))


def ping(master: MasterProcess) -> float:
    """Seconds from the request until every minion's reply is stored and told."""
    with Client(master.socket) as client:
        begun = time.perf_counter()
        job = client.call("jobs.start", {"target": "*", "function": "test.ping"})["job"]
        wait_for(lambda: client.call("status")["jobs_running"] == 0, "all replies", 60.0)
        took = time.perf_counter() - begun
        shown = client.call("jobs.list", {"limit": 1})["jobs"][0]
    assert shown["job"] == job
    assert set(shown["states"]) == {"succeeded"}
    return took


def measure(count: int) -> None:
    """Print the figures for `count` minions."""
    with tempfile.TemporaryDirectory() as folder:
        more = {"enrol_rate": 1e6, "enrol_total_rate": 1e6, "heartbeat": 60.0}
        with MasterProcess(Path(folder), more) as master:
            ours, theirs = multiprocessing.Pipe()
            secret = master.token(uses=count)
            arguments = (theirs, master.key, master.port, master.door, secret, count)
            process = multiprocessing.get_context("spawn").Process(target=crowd, args=arguments)
            process.start()
            assert ours.poll(600)
            ours.recv()
            memory(master, "before anybody connects")
            begun = time.perf_counter()
            ours.send("connect")
            wait_for(lambda: master.call("status")["minions"]["connected"] == count, "all sessions", 120.0)
            print(f"{count} sessions in {time.perf_counter() - begun:.2f} s")
            memory(master, "connected")
            times = sorted(ping(master) for _ in range(ROUNDS))
            print(f"ping of {count}: median {statistics.median(times):.3f} s, slowest {times[-1]:.3f} s")
            memory(master, "after the pings")
            _events(master, ours, count)
            memory(master, "after the events")
            ours.send("end")
            process.join(30)


def memory(master: MasterProcess, when: str) -> None:
    """Print what the master holds now."""
    assert master.process is not None
    print(f"master {when}: {pss(tree(master.process.pid)):.0f} MB PSS")


def _events(master: MasterProcess, control: Connection, count: int) -> None:
    before = int(master.call("status")["last_event"])
    each, records = max(1, 20_000 // count // 50), 50
    begun = time.perf_counter()
    control.send((each, records))
    total = each * records * count
    wait_for(lambda: int(master.call("status")["last_event"]) >= before + total, "all events stored", 60.0)
    print(f"{total} events stored, {total / (time.perf_counter() - begun):,.0f} a second")


def main(counts: tuple[int, ...] = (1000,)) -> None:
    """Print the figures beside their budgets."""
    for count in counts:
        measure(count)
    print("budget: ping of 1,000 p99 0.15 s, of 10,000 1.5 s; 50,000 events a second")


if __name__ == "__main__":
    main(tuple(json.loads(each) for each in sys.argv[1:]) or (1000,))
