"""The table of calls and the roles: nothing unknown, unchecked or not allowed gets to a handler."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.api.audited import MOST_AUDITED, audited
from master.api.roles import Caller, caller
from master.api.socket import error_data
from master.api.table import Argument, Call, Emit, Table
from protocol.data import Data
from protocol.errors import ArgumentError, RefusedError, SlsError, Where


async def handler(who: Caller, args: Mapping[str, Any], emit: Emit) -> Mapping[str, Data]:
    """Never called here."""
    return {}


CALL = Call(
    "jobs.start",
    "operate",
    handler,
    {
        "target": Argument("str"),
        "args": Argument("list", ()),
        "ids": Argument("strings", ()),
        "pillar": Argument("mapping", {}),
        "test": Argument("bool", False),
        "limit": Argument("int", 20, least=1, most=100),
        "timeout": Argument("float", 1.0, least=0.1),
    },
)
TABLE = Table([CALL])


@pytest.mark.parametrize("name", ["jobs.stop", "__init__", "_calls", "find", "", None, 5, ["jobs.start"], "x" * 9999])
def test_what_is_not_in_the_table_is_not_there(name: object) -> None:
    with pytest.raises(ArgumentError, match="no call"):
        TABLE.find(name)


def test_defaults_are_filled_in() -> None:
    checked = TABLE.arguments(CALL, {"target": "*", "timeout": 5, "limit": None})
    assert checked == {
        "target": "*", "args": (), "ids": (), "pillar": {}, "test": False, "limit": 20, "timeout": 5.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"target": 5}, {"target": ["a"]}, {"target": "*", "args": "a"}, {"target": "*", "ids": [1]},
        {"target": "*", "pillar": []}, {"target": "*", "test": 1}, {"target": "*", "limit": True},
        {"target": "*", "limit": 1.5}, {"target": "*", "limit": 0}, {"target": "*", "limit": 101},
        {"target": "*", "timeout": float("nan")}, {"target": "*", "timeout": 0}, {"target": "*", "more": 1}, [], "x",
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(wrong: object) -> None:
    with pytest.raises(ArgumentError):
        TABLE.arguments(CALL, wrong)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_whatever_comes_is_taken_or_refused_as_an_argument(given: Any) -> None:
    try:
        checked = TABLE.arguments(CALL, given)
    except ArgumentError:
        return
    assert isinstance(checked["target"], str)


@given(JSON)
def test_the_audit_keeps_something_of_whatever_comes(given: Any) -> None:
    kept = audited(given)
    assert len(str(kept)) < MOST_AUDITED * 8


def test_the_audit_has_no_secrets() -> None:
    kept = str(
        audited(
            {"pillar": {"x": {"y": "value-1"}}, "kwargs": {"password": "value-2"}, "args": ["AQ" + "A" * 36 + "=="]}
        )
    )
    assert "value-" not in kept
    assert "AQAAA" not in kept


def test_roles_rise() -> None:
    for role, may in (("", []), ("read", ["read"]), ("operate", ["read", "operate"])):
        for access in ("read", "operate", "admin"):
            who = Caller("bob", role)
            if access in may:
                who.require(access, "x")
            else:
                with pytest.raises(RefusedError, match="bob"):
                    who.require(access, "x")
    Caller("root", "admin").require("admin", "x")


def test_who_a_local_user_is() -> None:
    nobody = pwd.getpwnam("nobody")
    group = nobody.pw_gid
    assert caller(0, 0, 4242, {}).role == "admin"
    assert caller(os.geteuid(), os.getegid(), 4242, {}).role == "admin"
    assert caller(nobody.pw_uid, group, 4242, {}).role == ""
    assert caller(nobody.pw_uid, group, group, {}).role == "operate"
    assert caller(nobody.pw_uid, group, group, {"nobody": "read"}).role == "read"
    assert caller(nobody.pw_uid, group, 4242, {"nobody": "read", "%nogroup": "admin"}).role == "admin"
    assert caller(54321, 54321, 4242, {}).role == ""


def test_errors_tell_their_place() -> None:
    told = error_data(SlsError("broken", where=Where("a.sls", 3, 5, "osd1"), help="mend it"))
    assert told["where"] == {"file": "a.sls", "line": 3, "column": 5, "minion": "osd1", "step": ""}
    assert (told["code"], told["exit_code"], told["help"]) == ("sls", 2, "mend it")
