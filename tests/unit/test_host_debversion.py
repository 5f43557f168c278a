"""Versions are ordered as deb-version(7) says; wishes mean what they say."""

from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ArgumentError
from states.host import debversion

ORDERED = [
    "0~rc1-1",
    "0",
    "1.0~~",
    "1.0~beta1~svn1245-1",
    "1.0~beta1-1",
    "1.0-1",
    "1.0-1ubuntu1",
    "1.0-1+b1",
    "1.0-2",
    "1.0-10",
    "1.0+dfsg-1",
    "1.0.1-1",
    "1.2.0a",
    "1.2.0.1",
    "16.2.15+ds-0+deb12u1",
    "17.2.6-pve1+3",
    "1:0.1",
    "2:0",
]
VERSIONS = st.from_regex(r"([0-3]:)?[0-9][0-9a-z.+~]{0,6}(-[0-9a-z.+~]{1,4})?", fullmatch=True)


def test_the_order_of_known_versions() -> None:
    for older, newer in pairwise(ORDERED):
        assert debversion.compare(older, newer) == -1, (older, newer)
        assert debversion.compare(newer, older) == 1
    assert sorted(ORDERED[9:] + ORDERED[:9], key=debversion.key) == ORDERED


@pytest.mark.parametrize(("left", "right"), [("1.0", "1.0-0"), ("0:1", "1"), ("1.01", "1.1"), ("", "0")])
def test_versions_written_differently_may_be_equal(left: str, right: str) -> None:
    assert debversion.compare(left, right) == 0


def test_dpkg_orders_them_the_same_way() -> None:
    dpkg = shutil.which("dpkg")
    assert dpkg is not None
    for older, newer in pairwise(ORDERED):
        subprocess.run([dpkg, "--compare-versions", older, "lt", newer], check=True)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_it_is_an_order(one: str, two: str, three: str) -> None:
    assert debversion.compare(one, one) == 0
    assert debversion.compare(one, two) == -debversion.compare(two, one)
    low, middle, high = sorted([one, two, three], key=debversion.key)
    assert debversion.compare(low, middle) <= 0 <= debversion.compare(high, middle)
    assert debversion.compare(low, high) <= 0


@pytest.mark.parametrize(
    ("wish", "fits", "fails"),
    [
        ("1.2-3", ["1.2-3"], ["1.2-4", "1.2"]),
        ("=1.2", ["1.2", "1.2-0"], ["1.3"]),
        ("1.2*", ["1.2", "1.2-3", "1.20"], ["1.3", "1:1.2"]),
        (">=1.2,<2", ["1.2", "1.9-1"], ["1.1", "2"]),
        (">1.2", ["1.3"], ["1.2", "1"]),
        ("!=1.2", ["1.3"], ["1.2"]),
        ("1.[12]*", ["1.1-1", "1.2"], ["1.3"]),
    ],
)
def test_wishes(wish: str, fits: list[str], fails: list[str]) -> None:
    parsed = debversion.parse_wish(wish)
    assert all(parsed.fits(version) for version in fits)
    assert not any(parsed.fits(version) for version in fails)
    assert parsed.best([*fails, *fits]) == max(fits, key=debversion.key)


def test_epochs_can_be_ignored() -> None:
    assert debversion.parse_wish("1.2", ignore_epoch=True).fits("7:1.2")
    assert not debversion.parse_wish("1.2").fits("7:1.2")


@pytest.mark.parametrize(("wish", "exact"), [("1.2-3", "1.2-3"), ("==1.2", "1.2"), ("1.*", None), (">=1,<2", None)])
def test_the_one_version_wanted(wish: str, exact: str | None) -> None:
    assert debversion.parse_wish(wish).exact == exact


@pytest.mark.parametrize("text", ["", " ", "1 2", ">=", ">=1,"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="is not a version"):
        debversion.parse_wish(text)
