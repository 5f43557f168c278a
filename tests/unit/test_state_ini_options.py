"""ini.*: options and sections, with everything else in the file as it was."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.data import Data
from protocol.errors import ArgumentError
from protocol.secrets import Scrubber
from states.host.inifile import Ini
from tests.unit.state_contract import check, context, plan, snapshot

Args = Mapping[str, Data]

NOVA = """# licence
[DEFAULT]

# Whether to log. (boolean value)
#debug = false
transport_url=rabbit://one
enabled_apis = osapi_compute
enabled_apis = metadata

[api]
; a note
auth_strategy = keystone
paste = a
    b
    c

[database]
"""

CEPH = "[global]\n    fsid = x\n    mon host = a\n\n[osd]\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


CASES: list[tuple[str, str, Args, str]] = [
    # behind the commented default
    (
        "options_present",
        NOVA,
        {"sections": {"DEFAULT": {"debug": True}}},
        NOVA.replace("#debug = false\n", "#debug = false\ndebug = True\n"),
    ),
    # the spacing of a line stays
    (
        "options_present",
        NOVA,
        {"sections": {"DEFAULT": {"transport_url": "rabbit://two"}}},
        NOVA.replace("url=rabbit://one", "url=rabbit://two"),
    ),
    # the same value in other words changes nothing
    ("options_present", NOVA, {"sections": {"api": {"auth_strategy": "keystone", "paste": "a\nb\nc"}}}, NOVA),
    # repeated keys
    ("options_present", NOVA, {"sections": {"DEFAULT": {"enabled_apis": ["osapi_compute", "metadata"]}}}, NOVA),
    (
        "options_present",
        NOVA,
        {"sections": {"DEFAULT": {"enabled_apis": ["metadata", "x", "y"]}}},
        NOVA.replace(
            "enabled_apis = osapi_compute\nenabled_apis = metadata\n",
            "enabled_apis = metadata\nenabled_apis = x\nenabled_apis = y\n",
        ),
    ),
    (
        "options_present",
        NOVA,
        {"sections": {"DEFAULT": {"enabled_apis": "one"}}},
        NOVA.replace("enabled_apis = osapi_compute\nenabled_apis = metadata\n", "enabled_apis = one\n"),
    ),
    # a value of several lines
    ("options_present", NOVA, {"sections": {"api": {"paste": "z"}}}, NOVA.replace("a\n    b\n    c\n", "z\n")),
    (
        "options_present",
        NOVA,
        {"sections": {"api": {"paste": "a\nq"}}},
        NOVA.replace("a\n    b\n    c\n", "a\n    q\n"),
    ),
    # an empty section, a new section, an option before all sections
    (
        "options_present",
        NOVA,
        {"sections": {"database": {"connection": "mysql://"}}},
        NOVA + "connection = mysql://\n",
    ),
    ("options_present", NOVA, {"sections": {"new": {"a": 1}}}, NOVA.rstrip() + "\n\n[new]\na = 1\n"),
    ("options_present", "[a]\nb=1\n", {"sections": {"top": "x"}}, "top = x\n[a]\nb=1\n"),
    # the indentation of ceph.conf
    (
        "options_present",
        CEPH,
        {"sections": {"global": {"mon host": "b", "public network": "10.0.0.0/8"}}},
        "[global]\n    fsid = x\n    mon host = b\n    public network = 10.0.0.0/8\n\n[osd]\n",
    ),
    ("options_present", "[a]\n", {"sections": {"a": {"k": "v"}}, "no_spaces": True}, "[a]\nk=v\n"),
    ("options_present", "[a]\nk: v\n", {"sections": {"a": {"k": "w"}}, "separator": ":"}, "[a]\nk: w\n"),
    ("options_present", "[m]\n", {"sections": {"m": {"skip-name-resolve": None}}}, "[m]\nskip-name-resolve\n"),
    ("options_present", "[a]\nk = v", {"sections": {"a": {"l": ""}}}, "[a]\nk = v\nl =\n"),
    ("options_present", "[a]\r\nk = v\r\n", {"sections": {"a": {"l": "w"}}}, "[a]\r\nk = v\r\nl = w\r\n"),
    (
        "options_present",
        "[a]\nk = v\n# why\nl = w\n[b]\nm = x\n",
        {"sections": {"a": {"l": "w"}}, "strict": True},
        "[a]\n# why\nl = w\n[b]\nm = x\n",
    ),
    # an indented header behind a new option stays a header
    ("options_present", "[a]\n  [b]\n", {"sections": {"a": {"k": "v"}}}, "[a]\n  k = v\n  [b]\n"),
    (
        "options_absent",
        NOVA,
        {"sections": {"DEFAULT": ["enabled_apis", "none"]}},
        NOVA.replace("enabled_apis = osapi_compute\nenabled_apis = metadata\n", ""),
    ),
    ("options_absent", NOVA, {"sections": {"api": ["paste"]}}, NOVA.replace("paste = a\n    b\n    c\n", "")),
    ("options_absent", "k = v\n[a]\n", {"sections": {"k": None}}, "[a]\n"),
    ("sections_present", NOVA, {"sections": ["api", "glance"]}, NOVA.rstrip() + "\n\n[glance]\n"),
    ("sections_present", "[a]\nk = v\n", {"sections": {"a": {"l": "w"}}}, "[a]\nl = w\n"),
    ("sections_absent", NOVA, {"sections": ["database", "none"]}, NOVA.replace("[database]\n", "")),
    ("sections_absent", "[a]\nk = v\n\n# of b\n[b]\nl = w\n", {"sections": ["a"]}, "# of b\n[b]\nl = w\n"),
]  # fmt: skip


@pytest.mark.parametrize(("fun", "old", "args", "new"), CASES)
def test_only_what_is_asked_for_changes(root: Path, fun: str, old: str, args: Args, new: str) -> None:
    (root / "f").write_bytes(old.encode())
    (root / "f").chmod(0o640)
    done = check(f"ini.{fun}", "/f", args, root)
    assert (root / "f").read_bytes().decode() == new
    assert (root / "f").stat().st_mode & 0o777 == 0o640
    assert len(done.changes) == (old != new)


def test_a_new_file(root: Path) -> None:
    check("ini.options_present", "/f", {"sections": {"a": {"k": "v"}}}, root)
    assert snapshot(root)["/f"] == ("file", 0o644, 0, 0, b"[a]\nk = v\n")


def test_a_new_file_with_a_secret_is_for_its_owner(root: Path) -> None:
    scrubber = Scrubber(["hunter2"])
    check("ini.options_present", "/f", {"sections": {"a": {"password": "hunter2"}}}, root, scrubber=scrubber)
    assert snapshot(root)["/f"][1] == 0o600


def test_the_secret_that_is_replaced_is_not_told(root: Path) -> None:
    (root / "f").write_text("[DEFAULT]\ntransport_url = rabbit://nova:0ldSecret@mq\nk = v\n")
    ctx = context(root, scrubber=Scrubber(["n3wSecret"]))
    args: Args = {"sections": {"DEFAULT": {"transport_url": "rabbit://nova:n3wSecret@mq"}}}
    diff = plan(ctx, "ini.options_present", "/f", args).changes[0].diff
    assert "0ldSecret" not in diff
    assert "-transport_url = rabbit://nova:***\n+transport_url" in diff
    assert " k = v" in diff


def test_absent_from_a_file_that_is_not_there(root: Path) -> None:
    assert check("ini.options_absent", "/f", {"sections": {"a": ["k"]}}, root).changes == ()


WRONG: list[tuple[dict[str, Data], str]] = [
    ({"sections": {"a": {"k": {"deep": 1}}}}, "must be text"),
    ({"sections": {"a": {"k=": 1}}}, "no name of a key"),
    ({"sections": {"a": {"#k": 1}}}, "no name of a key"),
    ({"sections": {"a": {"[k": 1}}}, "no name of a key"),
    ({"sections": {"a\n[b]": {"k": 1}}}, "no name of a section"),
    ({"sections": {"a": {"k": "v\n\nx"}}}, "cannot stand"),
    ({"sections": {"a": {"k": "v\n# x"}}}, "cannot stand"),
    ({"sections": {"a": {"k": "v\x00"}}}, "cannot stand"),
    ({"sections": {"a": {"k": "v"}}, "separator": "|"}, "no separator"),
    ({"sections": ["a"]}, "must be"),
]


@pytest.mark.parametrize(("args", "message"), WRONG)
def test_wrong_arguments(root: Path, args: Args, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        plan(context(root), "ini.options_present", "/f", args)


def test_a_value_cannot_begin_a_section(root: Path) -> None:
    """A value with a line break continues on indented lines, which no reader takes for a header."""
    check("ini.options_present", "/f", {"sections": {"a": {"k": "v\n[evil]\nx = 1"}}}, root)
    ini = Ini((root / "f").read_text())
    assert ini.sections() == ["a"]
    reader = configparser.ConfigParser()
    reader.read(root / "f")
    assert reader.sections() == ["a"]


def test_spellings_of_a_key_can_be_one() -> None:
    ini = Ini("[osd]\nosd_max = 1\n", same=lambda key: key.replace("_", " "))
    ini.set("osd", "osd max", ["2"])
    assert ini.text() == "[osd]\nosd_max = 2\n"


NAMES = st.sampled_from(["a", "b", "mon host"])
VALUES = st.text(alphabet="xy =#;[]:\n\t", max_size=8)
LINES = st.sampled_from(
    [
        "[a]",
        "[b]",
        "  [a]",
        "a = 1",
        "  a=2",
        "    b",
        "b: 3",
        "# a = 0",
        ";b",
        "",
        "  ",
        "mon host = x",
        "\ta = 4",
        "[a",
    ]
)


@given(st.lists(LINES, max_size=10), NAMES, NAMES, st.lists(VALUES, min_size=1, max_size=3), st.booleans())
def test_any_edit_of_any_text(lines: list[str], section: str, key: str, values: list[str], no_spaces: bool) -> None:
    """What was set is read back, a second edit is empty, all other values and comments stay."""
    text = "".join(f"{line}\n" for line in lines)
    ini = Ini(text)
    others = {
        (each, name): ini.get(each, name)
        for each in ["", *ini.sections()]
        for name in ini.keys(each)
        if (each, name) != (section, key)
    }
    try:
        ini.set(section, key, values, no_spaces=no_spaces)
    except ArgumentError:
        assert any("\n" in value for value in values)
        return
    new = ini.text()
    again = Ini(new)
    expected = ["\n".join(line.strip() for line in value.strip().split("\n")) for value in values]
    assert again.get(section, key) == expected
    again.set(section, key, values, no_spaces=no_spaces)
    assert again.text() == new
    assert {place: again.get(*place) for place in others} == others
    kept = [line for line in lines if line.startswith(("#", ";"))]
    assert [line for line in new.split("\n") if line.startswith(("#", ";"))] == kept


@given(st.lists(LINES, max_size=10), NAMES, NAMES)
def test_what_is_taken_out_is_gone_and_nothing_else(lines: list[str], section: str, key: str) -> None:
    text = "".join(f"{line}\n" for line in lines)
    ini = Ini(text)
    others = {
        (each, name): ini.get(each, name)
        for each in ["", *ini.sections()]
        for name in ini.keys(each)
        if (each, name) != (section, key)
    }
    had = bool(ini.get(section, key))
    ini.unset(section, key)
    again = Ini(ini.text())
    assert again.get(section, key) == []
    assert {place: again.get(*place) for place in others} == others
    assert had or ini.text() == text
