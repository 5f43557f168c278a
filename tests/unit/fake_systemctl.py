"""A private root with a make-believe systemctl and journalctl, to test states of units without touching the host."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from states.context import Context

SCRIPT = r'''#!@PYTHON@ -IS
"""systemctl and journalctl of the make-believe host."""
import json, sys
from pathlib import Path

root = Path("@ROOT@")
world_file = root / "fake" / "units.json"
world = json.loads(world_file.read_text())
me, args = Path(sys.argv[0]).name, sys.argv[1:]
words = [arg for arg in args if not arg.startswith("-")]
if me == "journalctl":
    print("\n".join(world["journal"]) if "--sync" not in args else "")
    sys.exit(0)
with (root / "fake" / "log").open("a") as log:
    log.write(json.dumps([me, *words]) + "\n")
verb, name = words[0], words[1] if len(words) > 1 else ""
units = world["units"]
unit = units.get(name)
mount = "/" + name.removesuffix(".mount").replace("-", "/")


def end(status=0, text=""):
    world_file.write_text(json.dumps(world))
    sys.stderr.write(text)
    sys.exit(status)


if verb == "daemon-reload":
    fstab = root / "etc/fstab"
    lines = fstab.read_text().splitlines() if fstab.exists() else []
    for line in lines:
        fields = line.split()
        if len(fields) >= 4 and not line.startswith("#") and fields[1].startswith("/"):
            units.setdefault(fields[1].strip("/").replace("-", "\\x2d").replace("/", "-") + ".mount", {"line": fields})
    for one in units.values():
        one["need_reload"] = "no"
    end()
if verb == "show":
    shown = {"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead"}
    if unit is not None:
        shown = {
            "LoadState": unit.get("load", "loaded"),
            "ActiveState": unit.get("active", "inactive"),
            "SubState": unit.get("sub", "dead"),
            "NeedDaemonReload": unit.get("need_reload", "no"),
            "CanReload": unit.get("can_reload", "no"),
            "ConditionResult": unit.get("conditions", "yes"),
            "Type": unit.get("type", "notify"),
            "Result": unit.get("result", "success"),
            "ExecMainStatus": str(unit.get("exit_status", 0)),
            "ExecMainCode": unit.get("exit_code", "1"),
            "LoadError": unit.get("load_error", ""),
            "InvocationID": unit.get("invocation", ""),
        }
    print("\n".join(f"{key}={value}" for key, value in shown.items()))
    end()
if verb == "is-enabled":
    print(unit.get("file", "disabled") if unit else "")
    end(0 if unit else 1)
if verb == "mask":
    units.setdefault(name, {}).update(load="masked", file="masked-runtime" if "--runtime" in args else "masked")
    end()
if unit is None:
    end(1, f"Unit {name} could not be found.\n")
if verb == "unmask":
    unit.update(load="loaded", file="disabled")
elif verb in ("enable", "disable"):
    unit["file"] = verb + "d"
elif verb == "reset-failed":
    unit.update(result="success", active="inactive", starts=unit.get("starts_after_reset", []))
elif verb == "stop":
    unit.update(active="inactive", sub="dead")
elif verb in ("start", "restart", "reload"):
    outcome = unit.get("starts", []).pop(0) if unit.get("starts") else {}
    if outcome.get("fails"):
        unit.update({key: value for key, value in outcome.items() if key != "fails"})
        end(1, f"Job for {name} failed.\n")
    unit.update({"active": "active", "sub": "running", "result": "success", **outcome})
    if "line" in unit and unit["active"] == "active":
        device, point, kind, options = unit["line"][:4]
        table = root / "proc/self/mountinfo"
        table.write_text(table.read_text() + f"77 1 0:9 / {point} rw,relatime - {kind} {device} rw\n")
end()
'''


@dataclass
class FakeSystemctl:
    """The make-believe host. `units` maps full names to what systemctl shows of them; `starts` of a unit holds what its
    next starts come to: `{"fails": true, …}` or other properties."""

    root: Path
    units: dict[str, dict[str, Any]] = field(default_factory=dict)
    journal: list[str] = field(default_factory=list)

    def lay(self) -> None:
        """Write it all under `root`."""
        for folder in ("usr/bin", "fake", "run/systemd/system", "etc/systemd/system"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        script = SCRIPT.replace("@PYTHON@", sys.executable).replace("@ROOT@", str(self.root))
        for name in ("systemctl", "journalctl"):
            path = self.root / "usr/bin" / name
            path.write_text(script)
            path.chmod(0o755)
        self.write()

    def write(self) -> None:
        """Write the units."""
        (self.root / "fake/units.json").write_text(json.dumps({"units": self.units, "journal": self.journal}))

    def read(self, name: str) -> dict[str, Any]:
        """A unit as it is now."""
        self.units = json.loads((self.root / "fake/units.json").read_text())["units"]
        return self.units[name]

    def context(self, *, test: bool = False, pending: bool = False) -> Context:
        """A context of this host."""
        state_dir = self.root / "var/lib/stackmaster"
        return Context("m1", {}, root=self.root, state_dir=state_dir, test=test, pending=pending, deadline=30.0)

    def deeds(self) -> list[list[str]]:
        """What systemctl was told to do, questions left out."""
        log = self.root / "fake/log"
        lines = [json.loads(line)[1:] for line in log.read_text().splitlines()] if log.exists() else []
        return [line for line in lines if line[0] not in ("show", "is-enabled")]
