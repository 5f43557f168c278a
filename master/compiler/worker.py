"""One compiling process: takes requests from its standard input, one after the other, under limits of the kernel."""

from __future__ import annotations

import math
import resource
import struct
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import BinaryIO

from master.compiler.compile import compile_call, compile_low, compile_recorded, pillar_recorded
from master.compiler.outward import Answers
from master.compiler.wire import (
    MAX_REQUEST,
    pack_call,
    pack_compiled,
    pack_error,
    pack_low,
    pack_pillar,
    unpack_answer,
    unpack_request,
)
from protocol import codec
from protocol.data import Data
from protocol.errors import DecodeError, InputError, SlsError

LENGTH = struct.Struct(">I")
"""Before each request: its bytes."""

HEAD = struct.Struct(">BI")
"""Before each message to the master: what it is (REPLY, LAST, QUESTION), and its bytes."""

REPLY, LAST, QUESTION = range(3)
"""A reply; a reply after which the process ends; a question, whose answer the process awaits."""


def main(memory: int, cpu: int) -> None:
    """Serve until the input ends: `memory` bytes of address space, `cpu` seconds of processor time a request."""
    sys.excepthook = _without_values
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while (raw := _read(source)) is not None:
        _allow(cpu)
        reply, spent = _answer(raw, memory, Asking(source, target))
        _write(target, LAST if spent else REPLY, reply)
        if spent:
            return


class Asking:
    """Asks the master, which asks the minion or its keyring, in the middle of a compilation."""

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self._source = source
        self._target = target

    def function(self, name: str, args: Sequence[Data], kwargs: Mapping[str, Data]) -> Data:
        """What the minion's function returns. Raises SlsError."""
        return self._asked({"function": name, "args": list(args), "kwargs": dict(kwargs)})

    def decrypt(self, message: str) -> str:
        """The text in the OpenPGP message. Raises SlsError."""
        return str(self._asked({"decrypt": message}))

    def _asked(self, question: Mapping[str, Data]) -> Data:
        try:
            packed = codec.pack(question)
        except (TypeError, ValueError, OverflowError) as error:
            raise SlsError(f"a minion cannot be asked this: {error}") from None
        _write(self._target, QUESTION, packed)
        answer = _read(self._source)
        if answer is None:
            raise SystemExit("the master has gone in the middle of a question")
        return unpack_answer(answer)


def _write(target: BinaryIO, kind: int, raw: bytes) -> None:
    target.write(HEAD.pack(kind, len(raw)) + raw)
    target.flush()


def _read(source: BinaryIO) -> bytes | None:
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    if length > MAX_REQUEST:
        raise DecodeError(f"a request of {length} bytes")
    raw = source.read(length)
    return raw if len(raw) == length else None


def _allow(cpu: int) -> None:
    """Let this process use `cpu` seconds more; the kernel ends it when it needs more than that."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = math.ceil(usage.ru_utime + usage.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (used + cpu, resource.RLIM_INFINITY))


def _answer(raw: bytes, memory: int, answers: Answers) -> tuple[bytes, bool]:
    """The reply, and whether this process must end after it."""
    try:
        return _compiled(raw, answers), False
    except InputError as error:
        return pack_error(error), False
    except MemoryError:
        pass  # what fills the memory is held by the error's frames until here
    message = f"rendering needs more than {memory // 2**20} MiB of memory"
    return pack_error(SlsError(message, help="look for a loop that builds a long text or list")), True


def _compiled(raw: bytes, answers: Answers) -> bytes:
    task, request = unpack_request(raw)
    if task == "pillar":
        return pack_pillar(*pillar_recorded(request, answers))
    if task == "call":
        return pack_call(compile_call(request, answers))
    if task == "low":
        return pack_low(compile_low(request, answers).document())
    return pack_compiled(*compile_recorded(request, answers))


def _without_values(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell where an unforeseen error happened, and nothing of the values at hand: they may be secret."""
    places = []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    print(f"compiler: {kind.__name__} in {' < '.join(reversed(places))}", file=sys.stderr)
