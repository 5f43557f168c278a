"""The job book: applies one at a time in order, calls beside them, deadlines and cancels always end a job once."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from minion.jobs import Effect, End, JobBook, Kill, Phase, Start
from protocol.command import Apply, Call, Order
from protocol.names import JobId
from protocol.results import JobState

APPLY = Apply("0" * 64, b"", False, False, 60.0)
CALL = Call("cmd.run", ("true",), {}, 60.0)
A, B, C = JobId("a"), JobId("b"), JobId("c")


def taken(book: JobBook, job: JobId, order: Order, timeout: float = 60.0) -> list[Effect]:
    book.accept(job, order, timeout, 0.0)
    return book.needs(job, ())


def test_applies_run_one_at_a_time_in_order() -> None:
    book = JobBook(4)
    assert taken(book, A, APPLY) == [Start(A)]
    assert taken(book, B, APPLY) == []
    assert book.position(B) == 1
    ended, started = book.gone(A)
    assert isinstance(ended, End)
    assert (ended.job, ended.state, started) == (A, JobState.FAILED, Start(B))


def test_an_apply_that_waits_for_content_holds_its_place() -> None:
    book = JobBook(4)
    book.accept(A, APPLY, 60.0, 0.0)
    assert book.needs(A, {"digest"}) == []
    assert taken(book, B, APPLY) == []
    assert book.needs(A, ()) == [Start(A)]


def test_calls_run_beside_an_apply_up_to_their_number() -> None:
    book = JobBook(1)
    assert taken(book, A, APPLY) == [Start(A)]
    assert taken(book, B, CALL) == [Start(B)]
    assert taken(book, C, CALL) == []
    assert book.gone(B)[-1] == Start(C)


def test_a_cancel_kills_what_runs_and_ends_what_waits() -> None:
    book = JobBook(4)
    taken(book, A, APPLY)
    taken(book, B, APPLY)
    assert book.cancel(B) == [End(B, JobState.CANCELLED, "cancelled")]
    assert book.cancel(A) == [Kill(A)]
    assert book.cancel(A) == []
    assert book.gone(A) == [End(A, JobState.CANCELLED, "cancelled")]


def test_a_deadline_is_kept_in_every_phase() -> None:
    book = JobBook(4)
    taken(book, A, APPLY, timeout=5.0)
    taken(book, B, APPLY, timeout=3.0)
    assert book.deadline() == 3.0
    assert [type(e) for e in book.tick(3.0)] == [End]
    assert book.tick(5.0) == [Kill(A)]
    ended = book.gone(A)[0]
    assert isinstance(ended, End)
    assert ended.state is JobState.TIMED_OUT
    assert book.deadline() is None


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: each job ends once, and never two applies run together."""

    def __init__(self) -> None:
        super().__init__()
        self.book = JobBook(2)
        self.now = 0.0
        self.count = 0
        self.running: set[JobId] = set()
        self.ended: list[JobId] = []
        self.orders: dict[JobId, Order] = {}

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Start):
                assert effect.job not in self.running
                self.running.add(effect.job)
            elif isinstance(effect, End):
                self.running.discard(effect.job)
                self.ended.append(effect.job)

    @rule(order=st.sampled_from([APPLY, CALL]), ready=st.booleans())
    def accept(self, order: Order, ready: bool) -> None:
        job = JobId(f"j{self.count}")
        self.count += 1
        self.orders[job] = order
        self.book.accept(job, order, 10.0, self.now)
        self.take(self.book.needs(job, () if ready else {"d"}))

    @rule(data=st.data(), what=st.sampled_from(["fetched", "cancel", "gone", "fail"]))
    def happens(self, data: st.DataObject, what: str) -> None:
        if not self.orders:
            return
        job = data.draw(st.sampled_from(sorted(self.orders)))
        if what == "fetched":
            self.take(self.book.needs(job, ()))
        elif what == "cancel":
            self.take(self.book.cancel(job))
        elif what == "fail":
            self.take(self.book.fail(job, "no"))
        elif job in self.running:
            self.take(self.book.gone(job))

    @rule(seconds=st.floats(0, 6))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.book.tick(self.now))

    @invariant()
    def holds(self) -> None:
        assert len(self.ended) == len(set(self.ended))
        running = [self.orders[job] for job in self.running]
        assert sum(isinstance(order, Apply) for order in running) <= 1
        assert sum(isinstance(order, Call) for order in running) <= 2
        assert {j.job for j in self.book.jobs if j.phase is Phase.RUNNING} == self.running


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase
