"""Records the journals of real runs for tests/unit/test_runs_journals.py: `python -m tests.functional.record_journals`.

With `--decisions` no run is made: only the decisions in the recordings are written anew, by the code as it is.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from master.jobs import JobOutcome, MinionOutcome
from master.runs.sealed import Sealed
from master.store import jobrows, queries
from master.vault import Vault
from protocol.assignment import decode_assignment
from protocol.identity import load as load_identity
from protocol.names import JobId, RunId
from tests.functional.cli_house import House, house, poll
from tests.functional.test_cli_runs import DEPLOY, WRITE
from tests.functional.test_cli_runs_steered import begun, hold, note, step
from tests.unit.runs_recorded import FOLDER, kept_outcome, load, plain, save

Play = Callable[[House, Path, str], None]


def _watched(here: House, run: str) -> None:
    here.run("runs", "watch", run)


def deployed(here: House, folder: Path) -> tuple[str, Play]:
    """Outputs, a window, a gate."""
    here.sls("write", WRITE)
    return DEPLOY, lambda here, folder, run: _watched(here, run)


def mended(here: House, folder: Path) -> tuple[str, Play]:
    """A failure in a domain, attempts, on_failure, cleanup over kill -9 of the master, a retry where it failed."""
    go, fixed, log = folder / "go", folder / "fixed", folder / "notes"
    test = f"test -e {fixed}"
    here.sls("part", f'part:\n  cmd.run:\n    - name: \'{{{{ "{test}" if grains["id"] == "osd2" else "true" }}}}\'\n')
    here.sls("mend", note(log, "mend"))
    here.sls("undo", hold(go, log))

    def play(here: House, folder: Path, run: str) -> None:
        poll(lambda: begun(here, run, "undo"), "the cleanup")
        here.master.kill()
        here.master.start()
        go.write_text("")
        _watched(here, run)
        fixed.write_text("")
        here.run("runs", "retry", run, "--failed")
        _watched(here, run)

    sls = (
        step("set", "mend")
        + step("part", "part", "- batch: grain:id", "- max_failures: 1", "- retry: {interval: 0.2, backoff: 2}",
               tgt="osd*")
        + step("mend", "mend", "- on_failure: part") + step("then", "mend", "- require:", "  - salt: part")
        + step("undo", "undo", "- cleanup: true", "- require:", "  - salt: set")
    )  # fmt: skip
    return sls, play


def asked(here: House, folder: Path) -> tuple[str, Play]:
    """A baseline, a pause, a step that is skipped, an approval."""
    here.sls("note", note(folder / "notes", "note"))

    def play(here: House, folder: Path, run: str) -> None:
        poll(lambda: here.master.events(f"run/{run}/step/ask/waiting"), "the question")
        here.run("runs", "pause", run)
        here.run("runs", "skip", run, "second")
        here.run("runs", "approve", run, "--comment", "fine")
        here.run("runs", "resume", run)
        _watched(here, run)

    sls = (
        step("first", "note") + "ask:\n  approve.wait:\n    - message: go on?\n" + step("second", "note")
        + "same:\n  gate.baseline:\n    - tgt: 'osd*'\n    - function: test.echo\n    - kwarg: {text: {up: 3}}\n"
        "    - not_less: up\n    - interval: 0.1\n    - hold: 0.2\n"
    )  # fmt: skip
    return sls, play


def stopped(here: House, folder: Path) -> tuple[str, Play]:
    """A cancel with a cleanup."""
    here.sls("wait", hold(folder / "never", folder / "notes"))
    here.sls("note", note(folder / "notes", "undone"))

    def play(here: House, folder: Path, run: str) -> None:
        poll(lambda: begun(here, run, "work"), "the job")
        here.run("runs", "cancel", run)
        _watched(here, run)

    return step("work", "wait") + step("more", "note") + step("undo", "note", "- cleanup: true"), play


def record(name: str, prepare: Callable[[House, Path], tuple[str, Play]]) -> None:
    """Make one run and write its journal."""
    with tempfile.TemporaryDirectory() as path, house(Path(path), "osd1", "osd2") as here:
        folder = Path(path)
        sls, play = prepare(here, folder)
        here.sls("orch.run", sls)
        run = RunId(here.run("run", "orch.run", "--detach").out.strip())
        rows = sqlite3.connect(here.master.state_dir / "master.db")
        first = queries.journal(rows, run)[:1]
        play(here, folder, run)
        here.master.stop()
        entries = [entry for _, _, entry in queries.journal(rows, run)]
        vault = Vault(load_identity(here.master.state_dir / "identity"))
        assignment = decode_assignment(Sealed(vault, run).assignment([entry for _, _, entry in first]))
        jobs = [JobId(str(entry["job"])) for entry in entries if entry.get("kind") == "JobEnded"]
        row = queries.run(rows, run)
        assert row is not None
        recorded: dict[str, Any] = {
            "run": run, "state": row.state, "user": row.user, "test": False, "began": first[0][2]["now"],
            "chunks": plain(assignment.chunks),
            "events": [plain(entry) for entry in entries if "kind" in entry],
            "outcomes": {job: kept_outcome(_outcome(rows, job)) for job in jobs},
        }  # fmt: skip
        rows.close()
        save(FOLDER / f"{name}.json", recorded)


def _outcome(rows: sqlite3.Connection, job: JobId) -> JobOutcome:
    steps = jobrows.steps(rows, job)
    minions: dict[str, MinionOutcome] = {
        row.minion: MinionOutcome(row.state, row.reason, row.value, steps.get(row.minion, ()))
        for row in jobrows.minions(rows, job)
    }
    return JobOutcome(job, minions)


def main() -> None:
    """Record all of them, or write the decisions anew."""
    FOLDER.mkdir(exist_ok=True)
    if "--decisions" in sys.argv:
        for path in sorted(FOLDER.glob("*.json")):
            save(path, load(path))
        return
    for prepare in (deployed, mended, asked, stopped):
        record(prepare.__name__, prepare)


if __name__ == "__main__":
    main()
