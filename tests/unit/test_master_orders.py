"""Orders: arguments under their names, secrets known before anything is stored, all or nothing for an apply."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from master.compiler.secretwords import SecretWords
from master.orders import (
    ARGUMENT_WORDS,
    JobRequest,
    prepare_apply,
    prepare_call,
    request_data,
    request_from,
)
from protocol import limits
from protocol.assignment import Assignment, BlobRef, Chunk, decode_assignment, digest
from protocol.command import Apply, Call
from protocol.errors import ArgumentError, SlsError
from protocol.names import MinionId
from protocol.secrets import Scrubber, Secret

WORDS = SecretWords(ARGUMENT_WORDS)
MINIONS = [MinionId("a"), MinionId("b")]


@dataclass
class Compiled:
    """What a compiler would give."""

    assignment: Assignment
    blobs: Mapping[str, bytes | Path] = field(default_factory=dict)


def call(function: str, *args: str, **kwargs: str) -> Call:
    order = prepare_call(JobRequest("*", function=function, args=args, kwargs=kwargs), MINIONS, WORDS).orders["a"]
    assert isinstance(order, Call)
    return order


def test_arguments_in_order_are_named() -> None:
    assert call("test.echo", "hello").kwargs == {"text": "hello"}
    assert call("test.echo", text="hello").kwargs == {"text": "hello"}


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        ("test.nothing", (), {}),
        ("test.echo", (), {}),
        ("test.echo", ("a", "b"), {}),
        ("test.echo", ("a",), {"text": "b"}),
        ("test.echo", (), {"text": "a", "more": "b"}),
        ("__class__.__init__", (), {}),
        ("states.functions.test", (), {}),
    ],
)
def test_what_a_function_does_not_take_is_refused(function: str, args: tuple[str, ...], kwargs: dict[str, str]) -> None:
    with pytest.raises(ArgumentError):
        call(function, *args, **kwargs)


def test_secret_arguments_are_told_to_the_minion_and_hidden_here() -> None:
    request = JobRequest("*", function="test.echo", args=(Secret("hunter2hunter2"),))
    prepared = prepare_call(request, MINIONS, WORDS)
    order = prepared.orders["a"]
    assert isinstance(order, Call)
    assert order.secrets == ("hunter2hunter2",)
    assert "hunter2" not in str(request_data(request, Scrubber(prepared.secrets)))


def test_a_request_comes_back_from_the_store_without_its_secrets() -> None:
    request = JobRequest("osd*", kind="apply", sls=("a", "b"), pillar={"x": {"y": "secret-value"}}, test=True)
    stored = request_data(request, Scrubber())
    assert "secret-value" not in str(stored)
    again = request_from(stored, "root", "run")
    assert (again.sls, again.test, again.user, again.cause) == (("a", "b"), True, "root", "run")
    assert again.pillar == {"x": "***"}


def apply(compiled: Mapping[str, Compiled | Exception]) -> Mapping[str, Apply]:
    async def compile(minion: MinionId, request: JobRequest) -> Compiled:
        found = compiled[minion]
        if isinstance(found, Exception):
            raise found
        return found

    prepared = asyncio.run(prepare_apply(JobRequest("*", kind="apply"), [MinionId(m) for m in compiled], compile))
    return {minion: order for minion, order in prepared.orders.items() if isinstance(order, Apply)}


def chunk(text: str, ref: BlobRef | None = None) -> Chunk:
    return Chunk(
        "file", "managed", "a", "/a", "s", {"contents": text}, sources={} if ref is None else {"salt://a": ref}
    )


def test_a_small_assignment_travels_inside_and_a_large_one_is_fetched() -> None:
    small = Assignment("a", (chunk("x"),))
    large = Assignment("b", (chunk("x" * limits.INLINE_ASSIGNMENT),))
    orders = apply({"a": Compiled(small), "b": Compiled(large)})
    assert orders["a"].inline is not None
    assert decode_assignment(orders["a"].inline) == small
    assert (orders["b"].inline, orders["b"].digest) == (None, digest(large.encoded()))


def test_one_that_cannot_be_compiled_refuses_all_and_is_named() -> None:
    with pytest.raises(SlsError) as raised:
        apply({"a": Compiled(Assignment("a", ())), "b": SlsError("broken")})
    assert raised.value.where.minion == "b"


def test_a_file_that_the_compiler_did_not_give_refuses_all() -> None:
    ref = BlobRef("0" * 64, 3)
    with pytest.raises(SlsError, match="not found"):
        apply({"a": Compiled(Assignment("a", (chunk("x", ref),)))})
