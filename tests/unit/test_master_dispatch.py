"""Commands on their way: never out of order within a session, never lost, however sessions and queues behave."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from master.dispatch import Dispatch
from protocol.names import JobId, MinionId

MINION = MinionId("osd1")


class Wire:
    """Takes commands while it is open and has room."""

    def __init__(self) -> None:
        self.room = 0
        self.got: list[bytes] = []

    def send(self, minion: MinionId, raw: bytes) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.got.append(raw)
        return True


def test_the_first_that_cannot_be_sent_holds_back_the_others() -> None:
    wire = Wire()
    dispatch = Dispatch(wire.send)
    dispatch.add(MINION, 1, JobId("a"), b"1")
    dispatch.add(MINION, 2, JobId("b"), b"2")
    wire.room = 1
    dispatch.flush(MINION)
    assert wire.got == [b"1"]
    wire.room = 5
    dispatch.flush(MINION)
    assert wire.got == [b"1", b"2"]


def test_a_new_session_gets_again_what_the_minion_did_not_journal() -> None:
    wire = Wire()
    wire.room = 10
    dispatch = Dispatch(wire.send)
    for number in (1, 2, 3):
        dispatch.add(MINION, number, JobId(str(number)), str(number).encode())
    wire.got.clear()
    dispatch.connected(MINION, 2)
    assert wire.got == [b"3"]
    dispatch.taken(MINION, JobId("3"), ended=False)
    wire.got.clear()
    dispatch.connected(MINION, 0)
    assert wire.got == [b"1", b"2"]


def test_a_cancel_stays_until_the_job_ended_and_is_sent_in_every_session() -> None:
    wire = Wire()
    wire.room = 10
    dispatch = Dispatch(wire.send)
    dispatch.add(MINION, 1, JobId("a"), b"apply")
    dispatch.add(MINION, 2, JobId("a"), b"cancel", cancel=True)
    dispatch.taken(MINION, JobId("a"), ended=False)
    wire.got.clear()
    dispatch.connected(MINION, 9)
    assert wire.got == [b"cancel"]
    dispatch.taken(MINION, JobId("a"), ended=True)
    assert len(dispatch) == 0


def test_what_waits_for_a_removed_key_is_forgotten() -> None:
    wire = Wire()
    dispatch = Dispatch(wire.send)
    dispatch.add(MINION, 1, JobId("a"), b"1")
    assert not dispatch.sent(MINION, JobId("a"))
    dispatch.forget(MINION)
    wire.room = 1
    dispatch.connected(MINION, 0)
    assert wire.got == []


@given(
    st.lists(
        st.one_of(st.just("add"), st.just("session"), st.integers(0, 3).map(lambda room: f"room {room}")), max_size=40
    )
)
def test_a_minion_that_journals_what_it_gets_is_never_given_an_older_command(steps: list[str]) -> None:
    wire = Wire()
    dispatch = Dispatch(wire.send)
    high_water, added, read = 0, 0, 0
    for step in [*steps, "session", "room 1000"]:
        if step == "add":
            added += 1
            dispatch.add(MINION, added, JobId(str(added)), str(added).encode())
        elif step == "session":
            # what is still on the way is lost with the old connection
            wire.got.clear()
            read = 0
            dispatch.connected(MINION, high_water)
        else:
            wire.room = int(step.split()[1])
            dispatch.flush(MINION)
        for raw in wire.got[read:]:
            assert int(raw) > high_water
            assert int(raw) == high_water + 1
            high_water = int(raw)
        read = len(wire.got)
    assert high_water == added
