"""Salt's `state.*` functions as what they mean here: `exec osd1 state.apply ceph.conf test=true` is an apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from master.orders import JobRequest
from protocol.data import Data
from protocol.errors import ArgumentError

_WITH_SLS = ("state.apply", "state.sls", "state.test")
FUNCTIONS = (*_WITH_SLS, "state.highstate")
_ARGUMENTS = ("mods", "pillar", "saltenv", "test")


def as_apply(request: JobRequest) -> JobRequest:
    """`request`, or when it calls one of FUNCTIONS the apply that it stands for. Raises ArgumentError."""
    if request.kind != "call" or request.function not in FUNCTIONS:
        return request
    unknown = [name for name in request.kwargs if name not in _ARGUMENTS]
    if unknown:
        raise ArgumentError(
            f"{request.function} has no argument {unknown[0]!r}", help=f"it takes {', '.join(_ARGUMENTS)}"
        )
    sls = _names(request)
    if request.function == "state.highstate" and sls:
        raise ArgumentError("state.highstate takes no SLS", help="state.apply does")
    if request.function == "state.sls" and not sls:
        raise ArgumentError("state.sls needs the name of an SLS", help="for example: state.sls ceph.conf")
    pillar = request.kwargs.get("pillar", {})
    if not isinstance(pillar, Mapping):
        raise ArgumentError(f"{request.function}: the pillar must be a mapping", help="write pillar='{key: value}'")
    test = request.kwargs.get("test", False)
    if not isinstance(test, bool):
        raise ArgumentError(f"{request.function}: test must be true or false, not {test!r}")
    return replace(
        request,
        kind="apply",
        function="",
        args=(),
        kwargs={},
        sls=sls,
        pillar=pillar,
        environment=str(request.kwargs.get("saltenv", request.environment)),
        test=test or request.function == "state.test",
    )


def _names(request: JobRequest) -> tuple[str, ...]:
    """SLS names as Salt takes them: several arguments, or one with commas, or `mods`."""
    given: list[Data] = list(request.args)
    mods = request.kwargs.get("mods", [])
    given += mods if isinstance(mods, list | tuple) else [mods]
    return tuple(name.strip() for each in given for name in str(each).split(",") if name.strip())
