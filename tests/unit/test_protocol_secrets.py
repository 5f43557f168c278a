"""A secret prints as ***; the scrubber finds it wherever it went."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.data import Data
from protocol.secrets import MASK, Scrubber, Secret, literals, reveal

ROOT = Path(__file__).resolve().parents[2]
KEY = "AQ" + "Bc3+/" * 7 + "x" + "=="


def test_every_way_to_print_it_gives_the_mask(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret("hunter22")
    logging.getLogger("test").warning("%s %r", secret, secret)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>3}", "%s" % secret, str([secret]), caplog.text]  # noqa: UP031
    assert all("hunter22" not in text for text in shown)
    assert secret.reveal() == "hunter22"


def test_literals_are_found_and_hidden_in_any_depth() -> None:
    tree: Data = {"a": [Secret("hunter22"), {"b": Secret("swordfish")}]}
    assert literals(tree) == {"hunter22", "swordfish"}
    assert reveal(tree) == {"a": ["hunter22", {"b": "swordfish"}]}
    scrubber = Scrubber(literals(tree))
    told = scrubber.data({"hunter22": "x swordfish y", "raw": b"hunter22", "n": 1, "l": (None, "hunter22")})
    assert "hunter22" not in json.dumps(told, default=str)
    assert "swordfish" not in json.dumps(told, default=str)


def test_cephx_and_private_keys_are_hidden_without_being_known() -> None:
    pem = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----"
    assert len(KEY) == 40
    assert Scrubber().text(f"key = {KEY}\n{pem}\nend") == f"key = {MASK}\n{MASK}\nend"


def test_each_line_of_a_secret_file_is_hidden() -> None:
    scrubber = Scrubber(["first-line\nsecond-line\n"])
    assert scrubber.text("see second-line here") == f"see {MASK} here"


def test_short_values_do_not_blot_out_words() -> None:
    assert Scrubber(["no", "", "abc"]).text("no abc") == "no abc"


def test_a_secret_does_not_lose_its_type_in_a_pickle() -> None:
    assert isinstance(pickle.loads(pickle.dumps(Secret("hunter22"))), Secret)


def test_a_secret_of_a_secret_keeps_the_value() -> None:
    assert Secret(Secret("hunter22")).reveal() == "hunter22"


def test_joining_a_secret_to_text_leaves_it_a_secret() -> None:
    joined = "--key=" + Secret("hunter22") + "!"
    assert isinstance(joined, Secret)
    assert joined.reveal() == "--key=hunter22!"


def test_other_ways_to_write_a_secret_are_hidden_too() -> None:
    scrubber = Scrubber(['pass"wörd\t22'])
    for text in (
        json.dumps({"a": 'pass"wörd\t22'}),
        repr('pass"wörd\t22'),
        "https://x/?p=pass%22w%C3%B6rd%0922",
        base64.b64encode('pass"wörd\t22'.encode()).decode(),
    ):
        told = scrubber.text(text)
        assert MASK in told, text
        assert "rd" not in told or "22" not in told, told


@pytest.mark.parametrize(
    "text",
    ["-----BEGIN PRIVATE KEY-----" * 40_000, "-----BEGIN " * 100_000 + "PRIVATE KEY-----", "AQ" * 500_000],
)
def test_hiding_takes_no_longer_for_a_hostile_text(text: str) -> None:
    program = f"from protocol.secrets import Scrubber; Scrubber().text({text[:30]!r} * {len(text) // 30})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=30, check=False)
    assert done.returncode == 0


def test_a_private_key_whose_end_is_missing_is_hidden_as_far_as_one_goes() -> None:
    told = Scrubber().text("x -----BEGIN RSA PRIVATE KEY-----\nMIIEow" + "A" * 3000)
    assert told == f"x {MASK}"
