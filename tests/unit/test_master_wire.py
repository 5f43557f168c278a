"""A ROUTER on the loop: nothing stays unread, a pause costs no processor, a fault in a handler stops nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import zmq

from master.wire import MOST_FRAMES, Receiver


class House:
    """A receiver and a peer of it, without keys, within one process."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.got: list[list[bytes]] = []
        self.open = True
        self.asked = 0
        router = self.context.socket(zmq.ROUTER)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.SNDHWM, 5)
        router.bind("inproc://test")
        self.receiver = Receiver(router, self.take, self.admits)
        self.peer = self.context.socket(zmq.DEALER)
        self.peer.setsockopt(zmq.RCVHWM, 5)
        self.peer.connect("inproc://test")

    def admits(self) -> bool:
        self.asked += 1
        return self.open

    def take(self, frames: list[zmq.Frame]) -> None:
        parts = [frame.bytes for frame in frames]
        self.got.append(parts)
        if parts[1] == b"break":
            raise ValueError("a fault in a handler")

    async def until(self, count: int) -> None:
        end = time.monotonic() + 10
        while len(self.got) < count:
            assert time.monotonic() < end, f"{len(self.got)} of {count}"
            await asyncio.sleep(0.005)

    def close(self) -> None:
        self.receiver.close()
        self.peer.close(linger=0)
        self.context.term()


def run(use: Callable[[House], Awaitable[None]]) -> None:
    """Use a house within a loop."""

    async def within() -> None:
        house = House()
        house.receiver.start()
        try:
            await use(house)
        finally:
            house.close()

    asyncio.run(within())


def test_all_of_a_burst_is_taken() -> None:
    async def use(house: House) -> None:
        for number in range(900):
            house.peer.send(str(number).encode())
        await house.until(900)
        assert [parts[1] for parts in house.got] == [str(number).encode() for number in range(900)]

    run(use)


def test_what_comes_while_it_sends_is_not_left_lying() -> None:
    async def use(house: House) -> None:
        house.peer.send(b"hello")
        await house.until(1)
        routing = house.got[0][0]
        for number in range(200):
            house.peer.send(b"more")
            assert house.receiver.send([routing, b"answer"])
            assert house.peer.recv() == b"answer"
            await house.until(number + 2)

    run(use)


def test_a_pause_leaves_messages_and_processor_alone() -> None:
    async def use(house: House) -> None:
        house.open = False
        for _ in range(50):
            house.peer.send(b"x")
        begun, asked = time.process_time(), house.asked
        await asyncio.sleep(0.5)
        assert house.got == []
        assert house.asked - asked < 100
        assert time.process_time() - begun < 0.2
        house.open = True
        await house.until(50)

    run(use)


def test_a_fault_in_a_handler_does_not_stop_what_follows() -> None:
    faults: list[object] = []

    async def use(house: House) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, told: faults.append(told["exception"]))
        for word in (b"a", b"break", b"b", b"break", b"c"):
            house.peer.send(word)
        await house.until(5)

    run(use)
    assert len(faults) == 2


def test_a_message_of_many_frames_is_cut() -> None:
    async def use(house: House) -> None:
        house.peer.send_multipart([b"x"] * 1000)
        house.peer.send(b"next")
        await house.until(2)
        assert [len(parts) for parts in house.got] == [MOST_FRAMES, 2]

    run(use)


def test_who_is_not_there_and_who_does_not_read_are_told_apart() -> None:
    async def use(house: House) -> None:
        assert not house.receiver.send([b"nobody", b"x"])
        house.peer.send(b"hello")
        await house.until(1)
        routing = house.got[0][0]
        sent = 0
        try:
            while sent < 100:
                house.receiver.send([routing, b"x"])
                sent += 1
        except zmq.Again:
            assert 5 <= sent < 20
        else:
            raise AssertionError("the queue has no bound")

    run(use)
