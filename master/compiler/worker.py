"""One compiling process: takes requests from its standard input, one after the other, under limits of the kernel."""

from __future__ import annotations

import math
import resource
import struct
import sys
from types import TracebackType
from typing import BinaryIO

from master.compiler.compile import compile_assignment, compile_call, compile_pillar
from master.compiler.wire import MAX_REQUEST, pack_call, pack_compiled, pack_error, pack_pillar, unpack_request
from protocol.errors import DecodeError, InputError, SlsError

LENGTH = struct.Struct(">I")
"""Before each request: its bytes."""

HEAD = struct.Struct(">?I")
"""Before each reply: whether the process ends after it, and the reply's bytes."""


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
        reply, spent = _answer(raw, memory)
        target.write(HEAD.pack(spent, len(reply)) + reply)
        target.flush()
        if spent:
            return


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


def _answer(raw: bytes, memory: int) -> tuple[bytes, bool]:
    """The reply, and whether this process must end after it."""
    try:
        return _compiled(raw), False
    except InputError as error:
        return pack_error(error), False
    except MemoryError:
        pass  # what fills the memory is held by the error's frames until here
    message = f"rendering needs more than {memory // 2**20} MiB of memory"
    return pack_error(SlsError(message, help="look for a loop that builds a long text or list")), True


def _compiled(raw: bytes) -> bytes:
    task, request = unpack_request(raw)
    if task == "pillar":
        return pack_pillar(compile_pillar(request))
    if task == "call":
        return pack_call(compile_call(request))
    return pack_compiled(compile_assignment(request))


def _without_values(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell where an unforeseen error happened, and nothing of the values at hand: they may be secret."""
    places = []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    print(f"compiler: {kind.__name__} in {' < '.join(reversed(places))}", file=sys.stderr)
