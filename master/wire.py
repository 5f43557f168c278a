"""A ROUTER on the event loop: drained in portions, sent to without waiting, never stuck on ZeroMQ's edge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import zmq

PORTION = 512
"""Messages taken before the rest of the loop has its turn."""

MOST_FRAMES = 16
"""Frames of one message that are kept; the rest is read and forgotten."""

PAUSE = 0.01
"""Seconds until a receiver that was told to wait looks again."""


class Receiver:
    """Calls `received` with the frames of each message, and while `admits` is false leaves them in the socket.

    The socket's file descriptor only tells that something changed, and every send and receive may swallow that
    (zmq_getsockopt(3), ZMQ_FD); so after each send the socket is drained once more.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        received: Callable[[list[zmq.Frame]], None],
        admits: Callable[[], bool] = lambda: True,
    ) -> None:
        self._socket = socket
        self._received = received
        self._admits = admits
        self._scheduled = False
        self._running = False
        self._paused = False

    def start(self) -> None:
        """Begin to receive."""
        self._loop = asyncio.get_running_loop()
        self._running = True
        self._loop.add_reader(self._socket.FD, self._drain)
        self._again()

    def close(self) -> None:
        """Receive and send no more; the socket is closed."""
        if self._running:
            self._loop.remove_reader(self._socket.FD)
        self._running = False
        self._socket.close(linger=0)

    def send(self, frames: Sequence[bytes]) -> bool:
        """Send without waiting; False when the peer is not there, and raises zmq.Again when its queue is full."""
        if not self._running:
            return False
        self._again()
        try:
            self._socket.send_multipart(frames, zmq.DONTWAIT)
        except zmq.Again:
            raise
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        return True

    def _again(self) -> None:
        if not self._scheduled and self._running:
            self._scheduled = True
            self._loop.call_soon(self._drain_scheduled)

    def _drain_scheduled(self) -> None:
        self._scheduled = False
        self._drain()

    def _pause(self) -> None:
        """Look away for a moment; the descriptor stays readable all the while."""
        self._paused = True
        self._loop.remove_reader(self._socket.FD)
        self._loop.call_later(PAUSE, self._resume)

    def _resume(self) -> None:
        self._paused = False
        if self._running:
            self._loop.add_reader(self._socket.FD, self._drain)
            self._drain()

    def _drain(self) -> None:
        for _ in range(PORTION):
            if not self._running or self._paused:
                return
            if not self._admits():
                self._pause()
                return
            try:
                frames = self._receive()
            except zmq.Again:
                return
            handled = False
            try:
                self._received(frames)
                handled = True
            finally:
                if not handled:
                    self._again()
        self._again()

    def _receive(self) -> list[zmq.Frame]:
        frames = [self._socket.recv(zmq.DONTWAIT, copy=False)]
        while frames[-1].more:
            frame = self._socket.recv(zmq.DONTWAIT, copy=False)
            if len(frames) < MOST_FRAMES:
                frames.append(frame)
            elif not frame.more:
                break
        return frames
