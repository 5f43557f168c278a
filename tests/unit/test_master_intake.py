"""What of a minion's report may be stored: scrubbed text, times that can be, no values of secret functions."""

from __future__ import annotations

import asyncio

import pytest

from master.intake import CLOCK_TRUST, believed, scrubbed, stored_value
from master.jobs import Live
from master.orders import JobRequest
from protocol.data import Data
from protocol.names import JobId, MinionId
from protocol.results import Change, JobState, StepResult
from protocol.secrets import Scrubber, Secret

CANARY = "c4n4ry-0123456789"


def live(function: str) -> Live:
    async def make() -> Live:
        return Live(JobId("1"), JobRequest("*", function=function), 0.0, {MinionId("a"): JobState.PENDING})

    made = asyncio.run(make())
    made.scrubber.add([CANARY])
    return made


def test_no_field_of_a_step_keeps_a_secret() -> None:
    change = Change("change", CANARY, CANARY, CANARY, {CANARY: [CANARY]}, f"+{CANARY}", {"stdout": CANARY})
    step = StepResult(CANARY, "file.managed", CANARY, CANARY, "s", True, CANARY, (change,), warnings=(CANARY,))
    kept = scrubbed(step, Scrubber([CANARY]))
    assert CANARY not in repr(kept)
    assert (kept.function, kept.result, kept.changes[0].kind) == ("file.managed", True, "change")


@pytest.mark.parametrize("value", [CANARY, [CANARY], {"a": {CANARY: CANARY}}, Secret("other-secret"), CANARY.encode()])
def test_values_are_stored_without_secrets(value: Data) -> None:
    kept = repr(stored_value(value, live("test.echo")))
    assert CANARY not in kept
    assert "other-secret" not in kept


def test_nothing_of_a_secret_function_is_stored() -> None:
    assert stored_value({"a": 1}, live("no.such_function")) == "***"
    assert stored_value(None, live("no.such_function")) is None


@pytest.mark.parametrize(
    ("at", "kept"),
    [
        (1e9, 1e9), (1e9 - CLOCK_TRUST, 1e9 - CLOCK_TRUST), (1e9 + 1, 1e9), (0.0, 1e9), (float("inf"), 1e9),
        (float("-inf"), 1e9), (float("nan"), 1e9),
    ],
)  # fmt: skip
def test_times_that_cannot_be_are_the_masters(at: float, kept: float) -> None:
    assert believed(at, 1e9) == kept
