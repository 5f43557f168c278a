"""A sealed command opens for its minion, in its time, unchanged; and for nobody else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import WIRE_VERSION, codec, merkle
from protocol.command import _CONTEXT, CLOCK_SKEW, Call, Cancel, Header, Order, seal, unseal
from protocol.errors import DecodeError, RefusedCommand, SignatureError
from protocol.identity import generate
from protocol.names import new_job_id

MASTER = generate()
NOW = 1_800_000_000.0
JOB = new_job_id(NOW)


def orders(count: int) -> dict[str, Order]:
    return {f"osd{index}": Call("test.echo", (index,), {}, 30.0) for index in range(count)}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 33])
def test_every_minion_opens_its_own(count: int) -> None:
    sealed = seal(MASTER, JOB, 5, orders(count), NOW, 60.0)
    for minion, order in orders(count).items():
        header, opened = unseal(MASTER.public, minion, sealed[minion], NOW + 1)
        assert (header.job, header.sequence, opened) == (JOB, 5, order)


def test_no_minion_can_pass_its_command_on() -> None:
    sealed = seal(MASTER, JOB, 5, orders(5), NOW, 60.0)
    for minion in sealed:
        for other in sealed:
            if other != minion:
                with pytest.raises(SignatureError):
                    unseal(MASTER.public, other, sealed[minion], NOW)


def test_another_key_signs_nothing() -> None:
    sealed = seal(generate(), JOB, 5, orders(2), NOW, 60.0)
    with pytest.raises(SignatureError):
        unseal(MASTER.public, "osd0", sealed["osd0"], NOW)


@given(st.data())
def test_a_flipped_bit_anywhere_is_found(draw: st.DataObject) -> None:
    sealed = seal(MASTER, JOB, 5, orders(3), NOW, 60.0)["osd1"]
    name = draw.draw(st.sampled_from(["header", "signature", "payload"]))
    raw = bytearray(getattr(sealed, name))
    raw[draw.draw(st.integers(0, len(raw) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    change: Any = {name: bytes(raw)}
    changed = dataclasses.replace(sealed, **change)
    with pytest.raises(SignatureError):
        unseal(MASTER.public, "osd1", changed, NOW)


@pytest.mark.parametrize("path", [(), (b"short",), (b"\2" + bytes(32),), (b"\0" + bytes(32),) * 41])
def test_a_wrong_path_is_refused(path: tuple[bytes, ...]) -> None:
    sealed = dataclasses.replace(seal(MASTER, JOB, 5, orders(3), NOW, 60.0)["osd1"], path=path)
    with pytest.raises(SignatureError):
        unseal(MASTER.public, "osd1", sealed, NOW)


@pytest.mark.parametrize("moment", [NOW - CLOCK_SKEW - 1, NOW + 61])
def test_outside_its_time_it_is_refused(moment: float) -> None:
    sealed = seal(MASTER, JOB, 5, {"osd0": Cancel("other")}, NOW, 60.0)
    with pytest.raises(RefusedCommand, match="check clocks") as refused:
        unseal(MASTER.public, "osd0", sealed["osd0"], moment)
    assert refused.value.job == JOB


def test_a_lower_wire_version_is_refused() -> None:
    sealed = seal(MASTER, JOB, 5, {"osd0": Cancel("other")}, NOW, 60.0)["osd0"]
    header = codec.decode(sealed.header, codec.table(Header))
    old = codec.encode(dataclasses.replace(header, wire=WIRE_VERSION - 1))
    with pytest.raises(RefusedCommand, match="wire version"):
        unseal(
            MASTER.public,
            "osd0",
            dataclasses.replace(sealed, header=old, signature=MASTER.sign(_CONTEXT + old)),
            NOW,
        )


def test_an_inner_node_is_no_leaf() -> None:
    leaves = [merkle.leaf(f"m{index}", b"payload") for index in range(4)]
    root, paths = merkle.tree(leaves)
    assert all(merkle.root_from(leaf, path) == root for leaf, path in zip(leaves, paths, strict=True))
    inner = merkle.root_from(leaves[0], paths[0][:1])
    assert merkle.leaf("m0", inner) not in leaves


@pytest.mark.parametrize("job", ["../../../evil", "job", "", "a/b"])
def test_a_job_s_id_is_no_path_even_when_the_master_signed_it(job: str) -> None:
    sealed = seal(MASTER, job, 5, {"osd0": Cancel("other")}, NOW, 60.0)
    with pytest.raises(DecodeError):
        unseal(MASTER.public, "osd0", sealed["osd0"], NOW)


@pytest.mark.parametrize("moment", [float("nan"), float("inf")])
def test_times_are_numbers(moment: float) -> None:
    sealed = seal(MASTER, JOB, 5, {"osd0": Call("test.ping", (), {}, moment)}, NOW, 60.0)
    with pytest.raises(DecodeError, match="finite"):
        unseal(MASTER.public, "osd0", sealed["osd0"], NOW)
