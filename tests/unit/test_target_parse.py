"""Target expressions: what they mean beyond Salt, what is refused before sending, and why a minion matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.data import Data
from protocol.errors import TargetError
from protocol.target import KINDS, Reason, Subject, check, parse

GROUPS: dict[str, Data] = {
    "mons": ["mon1", "mon2"],
    "osds": "osd[01-03]",
    "both": "N@mons or N@osds",
    "many": ["web*", "db[1-20]"],
    "loop": "N@pool",
    "pool": "N@loop",
    "none": [],
    "either": "web1 or db1",
}
SUBJECT = Subject(
    "osd02",
    {"os": "Debian", "roles": ["osd", "mds"], "ipv4": ["10.0.0.2"], "disks": [{"model": "X1"}, {"model": "Y2"}]},
    {"ceph": {"key": "hidden-value", "size": 3}},
)


def meant(expression: Data, *ids: str, kind: str = "compound") -> list[str]:
    target = parse(expression, kind, GROUPS)
    return [name for name in ids if target.matches(Subject(name))]


@pytest.mark.parametrize(
    ("expression", "ids", "expected"),
    [
        ("osd[1-40]", ["osd0", "osd1", "osd4", "osd40", "osd41", "osd05", "osd"], ["osd1", "osd4", "osd40"]),
        ("osd[001-120,130]", ["osd001", "osd1", "osd120", "osd121", "osd130"], ["osd001", "osd120", "osd130"]),
        ("web0[13]", ["web01", "web03", "web013"], ["web01", "web03"]),
        ("web[1-3]", ["web1", "web3", "web4"], ["web1", "web3"]),
        ("web[1,3]", ["web1", "web2", "web3"], ["web1", "web3"]),
        ("web[!1-3]", ["web1", "web4"], ["web4"]),
        ("osd[1-9/2]", ["osd1", "osd2", "osd9"], ["osd1", "osd9"]),
        ("r[1-2]n[08-11]", ["r1n08", "r2n11", "r2n8", "r3n08"], ["r1n08", "r2n11"]),
        ("*-n[1-20].lab", ["a-n20.lab", "b-n7.lab", "b-n21.lab"], ["a-n20.lab", "b-n7.lab"]),
        ("osd[1-12],mon1,web*", ["osd12", "mon1", "web5", "db"], ["osd12", "mon1", "web5"]),
        ("osd[1-40]*", ["osd1", "osd12", "osd40"], []),
        ("osd[40-1]", ["osd1", "osd40"], []),
        ("mon1,mon2", ["mon1", "mon2"], []),
    ],
)
def test_node_sets_and_globs(expression: str, ids: list[str], expected: list[str]) -> None:
    assert meant(expression, *ids) == expected
    assert meant(expression, *ids, kind="glob") == expected


def test_node_sets_can_be_taken_from_each_other() -> None:
    assert meant("osd[1-40] and not osd[10-20]", "osd9", "osd10", "osd21") == ["osd9", "osd21"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("N@mons", ["mon1"]),
        ("N@both", ["mon1", "osd03"]),
        ("N@many", ["web7", "db20"]),
        ("N@both and not osd03", ["mon1"]),
        ("not N@both", ["web7", "db20"]),
        ("mon1 and not N@either", ["mon1"]),
        ("N@loop", []),
        ("N@unknown", []),
        ("N@unknown or mon1", []),
        ("N@none or mon1", ["mon1"]),
    ],
)
def test_nodegroups(expression: str, expected: list[str]) -> None:
    assert meant(expression, "mon1", "osd03", "web7", "db20") == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("not N@either", ["db1", "mon1"]),
        ("N@either and mon1", ["web1"]),
        ("( N@either ) and mon1", []),
        ("N@nested and not web1", ["db1"]),
        ("mon1 N@unknown", ["mon1"]),
        ("( ) or mon1", ["mon1"]),
        ("not ( )", ["web1", "db1", "mon1"]),
        ("mon1 ( web1 )", []),
        ("mon1 or web1 ( db1 )", ["mon1"]),
        ("mon1 or T@x or M@y", ["mon1"]),
        ("mon1 or R@x", []),
        ("not E@[", []),
        ("not P@os:[", ["web1", "db1", "mon1"]),
        ("N@numbers or mon1", []),
        ("not not mon1", []),
    ],
)
def test_what_salt_makes_of_it(expression: str, expected: list[str]) -> None:
    """Each was held against Salt 3008.5."""
    groups: dict[str, Data] = {**GROUPS, "nested": "N@either", "numbers": [1, 2]}
    target = parse(expression, "compound", groups)
    assert [name for name in ("web1", "db1", "mon1") if target.matches(Subject(name))] == expected


def test_keys_match_as_values_do() -> None:
    subject = Subject("a", {"disks": {"Sda": {"size": 1}}}, {})
    assert all(
        parse(f"{word}").matches(subject) for word in ("G@disks:sd*", "P@disks:s.a", "G@disks:SDA", "P@disks:^S")
    )
    assert parse(r"P@x:\D").matches(Subject("a", {"x": "5"}))


def test_a_group_that_reads_otherwise_without_parentheses_is_refused_before_sending() -> None:
    for expression in ("not N@either", "N@either and mon1"):
        with pytest.raises(TargetError, match="without parentheses") as caught:
            check(expression, nodegroups=GROUPS)
        assert "( … )" in caught.value.help
    for expression in ("N@either", "( N@either ) and mon1", "N@either or mon1", "not N@both", "not N@mons"):
        check(expression, nodegroups=GROUPS)
    with pytest.raises(TargetError, match="small letters"):
        check(r"P@os:\D+")


def test_a_nodegroup_is_a_kind_of_its_own() -> None:
    assert meant("both", "mon1", "osd03", "web7", kind="nodegroup") == ["mon1", "osd03"]
    assert meant("unknown", "mon1", kind="nodegroup") == []


@pytest.mark.parametrize(
    "expression",
    [
        "*",
        "web* and G@os:Debian",
        "( web* or db* ) and not N@mons",
        "osd[1-40]",
        "E@^osd\\d+$",
        "G=@os=Debian",
        "S@10.0.0.0/8",
        "I@ceph:size:3",
        "not web*",
        "L@a,b",
        "N@both",
        "P@roles:(osd|mds)",
    ],
)
def test_what_can_be_sent(expression: str) -> None:
    check(expression, nodegroups=GROUPS)


@pytest.mark.parametrize(
    ("expression", "column", "part"),
    [
        ("", 1, "empty"),
        ("   ", 1, "empty"),
        ("web* and", 0, "ends where a term is expected"),
        ("and web*", 1, "'and' is not expected"),
        ("web* db*", 6, "'db*' is not expected"),
        ("web* AND db*", 6, "small letters"),
        ("(web* or db*)", 1, "parenthesis must stand alone"),
        ("( web* or db*", 1, "not closed"),
        ("web* )", 6, "')' is not expected"),
        ("( )", 3, "')' is not expected"),
        ("not not web*", 1, "'not not'"),
        ("X@foo", 1, "no known letter"),
        ("R@%cluster", 1, "not supported"),
        ("G@os", 1, "has no ':'"),
        ("G@", 1, "no known letter"),
        ("web* or S@10.0.1.5/24", 9, "no address or network"),
        ("E@web[", 1, "no regular expression"),
        ("E@(a+)+$", 1, "may take for ever"),
        ("P@os:(a|aa)+$", 1, "may take for ever"),
        ("P@os:[", 1, "no regular expression"),
        ("N@nope", 1, "no nodegroup 'nope'"),
        ("web1 or N@loop", 9, "contains itself"),
        ("N@none", 1, "is empty"),
        ("osd[40-1]", 1, "runs backwards"),
        ("osd[1-40]*", 1, "beside a wildcard"),
        ("osd[001-12]", 1, "different widths"),
        ("osd[1-012]", 1, "different widths"),
        ("osd[1-40/0]", 1, "a step of 0"),
        ("osd[1--40]", 1, "no number and no range"),
        ("( " * 60 + "a" + " )" * 60, 101, "nested deeper"),
        ("a or " * 2000 + "a", 1, "more than 2000 words"),
        ("G@a:" + "b" * 5000, 1, "longer than"),
    ],
)
def test_what_is_refused_before_sending(expression: str, column: int, part: str) -> None:
    with pytest.raises(TargetError) as caught:
        check(expression, nodegroups=GROUPS)
    assert part in caught.value.message
    assert caught.value.where.column == column


@pytest.mark.parametrize("kind", ["range", "", "G"])
def test_unknown_kinds_are_refused(kind: str) -> None:
    with pytest.raises(TargetError, match="no target kind"):
        check("x", kind)
    assert not parse("x", kind).matches(Subject("x"))


def test_reasons_name_each_term_and_hide_the_pillar() -> None:
    target = parse("web* or ( G@os:Debian and I@ceph:key:hidden* ) and not S@10.0.0.9 and G@nope:x")
    assert target.explain(SUBJECT) == [
        Reason("web*", False, "the id is osd02"),
        Reason("G@os:Debian", True, "the grain os is Debian", 2),
        Reason("I@ceph:key:hidden*", True, "the pillar has ceph:key", 2),
        Reason("S@10.0.0.9", False, "the addresses are [['10.0.0.2']]", 1, negated=True),
        Reason("G@nope:x", False, "there is no grain nope", 1),
    ]
    broken = parse("web* and")
    assert broken.explain(SUBJECT) == [Reason("web* and", False, "the expression ends where a term is expected")]
    assert broken.problem


def test_data_is_walked_through_lists_and_mappings() -> None:
    for expression in ("G@disks:model:X1", "G@disks:1:model:Y*", "G@roles:MDS", "G@*:Debian", "J@ceph:size:[34]"):
        assert parse(expression).matches(SUBJECT), expression
    assert not parse("G@disks:model:Z*").matches(SUBJECT)
    assert not parse("G@disks:7:model:Y2").matches(SUBJECT)
    assert parse("I@*:*:hidden-value").matches(Subject("a", {}, {"x": {"y": "hidden-value"}}))


def test_it_is_known_whether_the_pillar_decides() -> None:
    assert parse("web* and not ( I@a:b or web1 )").needs_pillar
    assert parse("a:b", "pillar_exact").needs_pillar
    assert not parse("web* and G@a:b").needs_pillar
    assert not parse("web* and").needs_pillar


words = st.sampled_from(
    ["and", "or", "not", "(", ")", "web*", "G@os:Debian", "I@a:b:c", "N@both", "N@loop", "E@[", "osd[1-40]", "S@x", "@"]
)


@given(st.one_of(st.lists(words).map(" ".join), st.text()), st.sampled_from(sorted({*KINDS, "other"})))
def test_reading_never_raises(expression: str, kind: str) -> None:
    target = parse(expression, kind, GROUPS)
    assert target.matches(SUBJECT) in (True, False)
    assert target.explain(SUBJECT) is not None
    try:
        check(expression, kind, GROUPS)
    except TargetError as error:
        assert error.message
    else:
        assert target.root is not None


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_what_is_no_text_never_raises_either(expression: Data) -> None:
    assert parse(expression).matches(SUBJECT) in (True, False)
