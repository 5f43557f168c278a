"""Salt's habit `state.apply` becomes an apply, with its arguments checked."""

from __future__ import annotations

import pytest

from master.applycalls import as_apply
from master.orders import JobRequest
from protocol.data import Data
from protocol.errors import ArgumentError


def call(function: str, *args: Data, **kwargs: Data) -> JobRequest:
    return JobRequest("*", function=function, args=args, kwargs=kwargs)


def test_other_calls_stay_what_they_are() -> None:
    request = call("test.ping")
    assert as_apply(request) is request


@pytest.mark.parametrize(
    ("request_", "sls", "test"),
    [
        (call("state.apply"), (), False),
        (call("state.highstate", test=True), (), True),
        (call("state.apply", "a,b", "c"), ("a", "b", "c"), False),
        (call("state.sls", mods=["a", "b"]), ("a", "b"), False),
        (call("state.test", "a"), ("a",), True),
    ],
)
def test_the_forms_that_people_type(request_: JobRequest, sls: tuple[str, ...], test: bool) -> None:
    meant = as_apply(request_)
    assert (meant.kind, meant.sls, meant.test, meant.function) == ("apply", sls, test, "")


def test_pillar_and_environment_go_along() -> None:
    meant = as_apply(call("state.apply", "a", pillar={"x": 1}, saltenv="dev"))
    assert (meant.pillar, meant.environment) == ({"x": 1}, "dev")


@pytest.mark.parametrize(
    "request_",
    [
        call("state.sls"),
        call("state.highstate", "a"),
        call("state.apply", "a", pilar={}),
        call("state.apply", "a", pillar="x"),
        call("state.apply", "a", test="yes"),
    ],
)
def test_mistakes_are_told(request_: JobRequest) -> None:
    with pytest.raises(ArgumentError):
        as_apply(request_)
