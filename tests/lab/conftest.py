"""Fixtures for tests on booted hosts, what happens where they cannot run, and what a failure shows."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.lab.harness import Lab, lab_unavailable_reason
from tests.lab.harness.lab import OPEN

_HERE = Path(__file__).parent

MakeLab = Callable[..., Lab]
"""The `make_lab` fixture: the arguments of Lab, giving a lab that is up and ends with the module."""


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark all tests in this folder, and leave the first one time to build images."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.lab)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session", autouse=True)
def machine_can_boot_hosts() -> None:
    """Tell clearly when these tests are not run. Where they must run, that is a failure."""
    reason = lab_unavailable_reason()
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"lab tests must run here, but cannot: {reason}", pytrace=False)
    pytest.skip(f"lab tests were NOT RUN: {reason}")


@pytest.fixture(scope="module")
def make_lab() -> Iterator[MakeLab]:
    """Makes labs that last as long as the test module."""
    with ExitStack() as labs:

        def make(hosts: Sequence[str], **options: Any) -> Lab:
            return labs.enter_context(Lab(hosts, **options))

        yield make


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the hosts have to say to the report of a failed test."""
    report = yield
    if report.failed and item.path.is_relative_to(_HERE):
        for lab in list(OPEN):
            report.sections.append(("lab", lab.report()))
    return report
