"""ceph.conf is rendered whole, or changed by the line; what is not ours stays."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.data import Data
from protocol.errors import ArgumentError
from protocol.secrets import UNKNOWN
from states.ceph import conf
from tests.unit.fake_ceph import Host

SECTIONS: dict[str, Data] = {
    "osd": {"osd heartbeat-grace": 6},
    "global": {"fsid": "x", "mon_initial_members": ["a", "b"], "up": True},
}
PATH = "/etc/ceph/ceph.conf"

BY_HAND = """\
# the lab's cluster
[global]
  mon host = 10.0.0.1   ; the old one
fsid = x

[osd]
osd_heartbeat_grace = 20
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_values_are_written_as_ceph_reads_them_and_global_comes_first() -> None:
    text = conf.render(conf.normalise(SECTIONS))
    assert text == "[global]\nfsid = x\nmon_initial_members = a, b\nup = true\n\n[osd]\nosd_heartbeat_grace = 6\n"


names = st.from_regex(r"[a-z][a-z_]{0,8}[a-z]", fullmatch=True).map(conf.option_name)
values = st.from_regex(r"[a-z0-9\[\]:,./]{1,12}", fullmatch=True)
trees = st.dictionaries(st.sampled_from(["global", "osd", "mon.a"]), st.dictionaries(names, values, min_size=1))


@given(trees)
def test_what_is_rendered_is_parsed_again(sections: dict[str, dict[str, str]]) -> None:
    assert conf.parse(conf.render(sections)) == sections


@given(trees, trees)
def test_merging_sets_what_is_wanted_and_keeps_the_rest(
    have: dict[str, dict[str, str]], want: dict[str, dict[str, str]]
) -> None:
    merged = conf.merge(conf.render(have), want)
    expected = {name: {**have.get(name, {}), **want.get(name, {})} for name in have | want}
    assert conf.parse(merged) == expected
    assert conf.merge(merged, want) == merged


def test_merging_keeps_comments_and_lines_that_say_the_same() -> None:
    merged = conf.merge(
        BY_HAND, conf.normalise({"global": {"mon_host": "10.0.0.1"}, "osd": {"osd heartbeat grace": 6}})
    )
    assert merged == BY_HAND.replace("= 20", "= 6")


def test_null_takes_an_option_out() -> None:
    assert conf.parse(conf.merge(BY_HAND, conf.normalise({"global": {"mon_host": None}}))) == {
        "global": {"fsid": "x"},
        "osd": {"osd_heartbeat_grace": "20"},
    }


def test_the_state_writes_the_whole_file_shows_a_diff_and_is_then_content(host: Host) -> None:
    host.put(PATH, BY_HAND)
    made = host.settle("ceph.conf", PATH, {"sections": SECTIONS})
    assert "-osd_heartbeat_grace = 20" in made.changes[0].diff
    assert "+osd_heartbeat_grace = 6" in made.changes[0].diff
    assert conf.parse(host.get(PATH)) == {
        "global": {"fsid": "x", "mon_initial_members": "a, b", "up": "true"},
        "osd": {"osd_heartbeat_grace": "6"},
    }


def test_the_state_leaves_other_lines_when_it_is_not_exclusive(host: Host) -> None:
    host.put(PATH, BY_HAND)
    host.settle("ceph.conf", PATH, {"sections": {"osd": {"osd_heartbeat_grace": 6}}, "exclusive": False})
    assert host.get(PATH) == BY_HAND.replace("= 20", "= 6")


def test_the_state_makes_the_folder_and_mends_the_mode(host: Host) -> None:
    (host.root / "etc/ceph").rmdir()
    host.settle("ceph.conf", PATH, {"sections": SECTIONS})
    (host.root / "etc/ceph/ceph.conf").chmod(0o666)
    mended = host.settle("ceph.conf", PATH, {"sections": SECTIONS})
    assert [(change.aspect, change.old, change.new) for change in mended.changes] == [("mode", "0666", "0644")]


def test_what_is_not_known_yet_is_foretold_as_a_change_and_never_written(host: Host) -> None:
    args: dict[str, Data] = {"sections": {"global": {"fsid": UNKNOWN}}}
    assert host.apply("ceph.conf", PATH, args, test=True).changes[0].aspect == "content"
    assert host.apply("ceph.conf", PATH, args).result is False
    assert not host.exists(PATH)


@pytest.mark.parametrize("sections", [{"global": "x"}, {"global": {"a": {"b": 1}}}, {"global": {"a": "x\n[mon]"}}])
def test_what_no_line_can_hold_is_an_argument_error(sections: dict[str, Data]) -> None:
    with pytest.raises(ArgumentError):
        conf.normalise(sections)
