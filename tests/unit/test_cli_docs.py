"""The pages about the command line and orchestrations name everything there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from master.cli.app import VERBS
from master.cli.exits import MEANING
from master.compiler.orchestration import ORCHESTRATION
from master.runs.steps import RUNNERS

ROOT = Path(__file__).resolve().parents[2]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def test_every_schema_is_described_and_every_described_one_exists() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "master/cli").glob("*.py"))
    used = set(re.findall(r'"stackmaster\.([a-z-]+/[0-9]+)"', source)) | {"job-started/1", "run-started/1"}
    assert set(re.findall(r"stackmaster\.([a-z-]+/[0-9]+)", page("cli-json.md"))) == used


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_command_is_on_the_page(verb: str) -> None:
    assert f"stackmaster {verb}" in page("cli.md")


def test_every_exit_code_is_on_the_page() -> None:
    assert [int(code) for code in re.findall(r"^\| ([0-9]+) \|", page("cli.md"), re.MULTILINE)] == sorted(MEANING)


def test_every_step_and_runner_is_on_the_page() -> None:
    text = page("orchestration.md")
    for name, signature in ORCHESTRATION.items():
        assert name in text
        missing = [one for one in signature.parameters if f"`{one}" not in text]
        assert missing == [], (name, missing)
    for name, arguments in RUNNERS.items():
        assert f"`{name}`" in text
        assert all(f"`{one}`" in text for one in arguments)


def test_links_within_the_pages_lead_somewhere() -> None:
    for name in ("cli.md", "orchestration.md", "cli-json.md"):
        text = page(name)
        heads = {
            re.sub(r"[^a-z0-9 _-]", "", head.lower()).replace(" ", "-") for head in re.findall("^#+ (.*)$", text, re.M)
        }
        assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= heads
        for file in re.findall(r"\]\(([a-z-]+\.md)", text):
            assert (ROOT / "docs" / file).is_file()
