"""A real master and an honest minion for the hostile tests of the wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.master_process import MasterProcess
from tests.functional.wire_peer import WirePeer


@pytest.fixture
def master(tmp_path: Path) -> Iterator[MasterProcess]:
    with MasterProcess(tmp_path) as process:
        yield process


@pytest.fixture
def honest(master: MasterProcess) -> Iterator[WirePeer]:
    with master.admit(master.peer("honest")) as peer:
        peer.join()
        yield peer


@pytest.fixture
def hostile(master: MasterProcess) -> Iterator[WirePeer]:
    """A minion with an accepted key that does not behave."""
    with master.admit(master.peer("hostile")) as peer:
        peer.join()
        yield peer
