"""The codec gives back what it was given, and turns every other byte string into a DecodeError."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec, limits
from protocol.assignment import Assignment, BlobRef, Chunk, Requisite, decode_assignment
from protocol.data import Data
from protocol.errors import DecodeError
from protocol.messages import TO_MASTER, TO_MINION, EventRaised, Hello, JobProgress, JobUpdate, Report
from protocol.results import Change, JobState, StepEnded, StepResult, StepStarted
from protocol.secrets import Secret

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text()
data = st.recursive(
    scalars | st.binary(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(data)
def test_plain_data_comes_back(value: Data) -> None:
    assert codec.unpack(codec.pack(value)) == value


def test_secrets_stay_secrets_on_the_way() -> None:
    back = codec.unpack(codec.pack({"key": Secret("AQDsomething")}))
    assert isinstance(back, dict)
    assert isinstance(back["key"], Secret)
    assert back["key"].reveal() == "AQDsomething"


def test_a_report_with_every_kind_of_record_comes_back() -> None:
    change = Change("change", "/etc/x", "mode", "0600", "0644")
    result = StepResult("file_|-a_|-/etc/x_|-managed", "file.managed", "a", "/etc/x", "s", True, "done", (change,))
    report = Report(
        7,
        (
            JobUpdate("j", JobState.FAILED, 1.5, "why", {"x": [1, None]}),
            JobProgress("j", StepStarted(0, result.tag, result.function, "a", "/etc/x", 3, 2.0)),
            JobProgress("j", StepEnded(0, result)),
            EventRaised("disk/full", {"used": 0.99}, 3.0),
        ),
    )
    assert codec.decode(codec.encode(report), TO_MASTER) == report


def test_an_assignment_comes_back() -> None:
    chunk = Chunk(
        "file", "managed", "a", "/etc/x", "s", {"mode": "0644"}, {"unless": "true"}, (Requisite("require", (0,)),),
        {"salt://x": BlobRef("0" * 64, 3)},
    )  # fmt: skip
    assignment = Assignment("osd1", (chunk,), secrets=("hunter22",))
    assert decode_assignment(assignment.encoded()) == assignment


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_decode_error(raw: bytes) -> None:
    for kinds in (TO_MASTER, TO_MINION):
        try:
            codec.decode(raw, kinds)
        except DecodeError:
            continue


@given(st.recursive(scalars, lambda inner: st.lists(inner, max_size=5), max_leaves=12))
def test_any_array_behind_a_known_kind_is_a_message_or_a_decode_error(tail: Data) -> None:
    rest = tail if isinstance(tail, list) else [tail]
    for kind in TO_MASTER:
        try:
            codec.decode(msgpack.packb([kind, *rest]), TO_MASTER)
        except DecodeError:
            continue


@pytest.mark.parametrize(
    "raw",
    [
        b"\xdd\xff\xff\xff\xff",  # an array that claims 2^32 - 1 elements
        b"\xdf\xff\xff\xff\xff",  # a map that claims as many
        b"\xdb\xff\xff\xff\xff",  # a string that claims 4 GiB
        b"\xdc\xff\xff" + b"\x80" * 65535 + b"\xdc\xff\xff",
        b"\xdd\x00\x00\x00\x02" + (b"\xdc\xff\xff" + b"\x80" * 65535) * 2,  # 131,070 empty maps
        b"\x91" * 100_000 + b"\xc0",  # 100,000 levels
        b"\x91" * (limits.MAX_DEPTH + 2) + b"\xc0",
        msgpack.packb(msgpack.ExtType(5, b"x")),
        msgpack.packb(msgpack.Timestamp(1)),
        msgpack.packb({1: 2}),
        b"",
        b"\xc1",
    ],
)
def test_bombs_and_foreign_types_are_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.unpack(raw)


def test_a_frame_over_its_limit_is_refused() -> None:
    with pytest.raises(DecodeError, match="at most 10"):
        codec.unpack(codec.pack("x" * 20), limit=10)


@pytest.mark.parametrize(
    ("position", "value"), [(0, "1"), (0, True), (1, 5), (4, None), (4, "7"), (3, {"a": "b"}), (2, b"bytes")]
)
def test_a_field_of_a_wrong_type_is_refused(position: int, value: Data) -> None:
    fields: list[Data] = [1, "0.1", "boot", "machine", 0]
    assert codec.decode(msgpack.packb(["hello", *fields]), TO_MASTER) == Hello(1, "0.1", "boot", "machine", 0)
    fields[position] = value
    with pytest.raises(DecodeError):
        codec.decode(msgpack.packb(["hello", *fields]), TO_MASTER)


def test_a_message_kind_for_the_other_side_is_refused() -> None:
    raw = codec.encode(Hello(1, "0.1", "boot", "machine", 0))
    with pytest.raises(DecodeError, match="not accepted here"):
        codec.decode(raw, TO_MINION)
