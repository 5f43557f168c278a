"""`make demo`: prints each command before it runs it, checks what it should have done, and cleans up after itself."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path

from tests.demo.site import Site, SiteError, free_ports

HERE = Path(__file__).parent
NODES = ("node1", "node2", "node3")


def say(text: str) -> None:
    """A heading."""
    print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


def typed(site: Site, *arguments: str, expected: int = 0) -> None:
    """Show a command as typed, run it, and insist on its exit code."""
    print(f"$ stackmaster {shlex.join(arguments)}", flush=True)
    code = site.show(*arguments)
    if code != expected:
        logs = "".join(f"--- {name}\n{site.log(name)[-2000:]}" for name in ("master", *site.minions))
        raise SiteError(f"exit code {code} where {expected} was expected\n{logs}")


def changed_by_plan(site: Site) -> list[str]:
    """The minions on which a dry run of the configuration foretells changes."""
    done = site.run("plan", "*", "demo.config", "--output", "json")
    tree = json.loads(done.stdout)
    minions = tree["minions"]
    return sorted(m for m, outcome in minions.items() if any(step["changes"] for step in outcome["steps"]))


def insist(holds: bool, what: str) -> None:
    """Stop the demo when what it claims is not so."""
    if not holds:
        raise SiteError(f"not so: {what}")
    print(f"checked: {what}", flush=True)


def play(site: Site) -> None:
    """The whole story."""
    say("A master, and three minions that join by token")
    site.start_master()
    token = json.loads(site.run("keys", "token", "--uses", "3", "--output", "json").stdout)["token"]
    for node, port in zip(NODES, free_ports(3), strict=True):
        site.start_minion(node, token, demo_port=port)
    typed(site, "exec", "*", "test.ping")
    typed(site, "minions", "ls")

    say("One orchestration: config, a key made on node1 and carried to the others, a gate, a rolling restart")
    typed(site, "run", "demo.rollout", "--dry-run")
    typed(site, "run", "demo.rollout")
    keys = {(site.root(node) / "etc/demo/keyring").read_bytes() for node in NODES}
    insist(len(keys) == 1, "the three nodes hold the same key")

    say("The same again changes nothing")
    before = {node: (site.root(node) / "app.pid").read_text() for node in NODES}
    typed(site, "run", "demo.rollout")
    insist(before == {n: (site.root(n) / "app.pid").read_text() for n in NODES}, "no service was restarted")

    say("Somebody edits a file by hand; the plan shows it, the next run repairs it")
    config = site.root("node2") / "etc/demo/app.json"
    config.write_text(config.read_text().replace('"workers": 2', '"workers": 64'))
    insist(changed_by_plan(site) == ["node2"], "only node2 differs")
    typed(site, "plan", "*", "demo.config")
    typed(site, "run", "demo.rollout")
    insist('"workers": 2' in config.read_text(), "the file is as it should be")
    insist(changed_by_plan(site) == [], "nothing differs any more")

    key = next(iter(keys)).decode().split("key = ")[1].strip()
    events = site.run("events", "tail", "*", "--since", "0", "--timeout", "1", "--output", "ndjson").stdout
    shown = events + "".join(site.log(name) for name in ("master", *NODES))
    insist(bool(events) and key not in shown, "the key is in no event and no log")


def main() -> int:
    """Run the demo; the exit code."""
    began = time.monotonic()
    with Site(HERE / "states", HERE / "pillar") as site:
        try:
            play(site)
        except SiteError as error:
            print(f"the demo failed: {error}", file=sys.stderr)
            return 1
        finally:
            for node in site.minions:
                stop_service(site, node)
    print(f"\ndone in {time.monotonic() - began:.0f} s; everything is removed")
    return 0


def stop_service(site: Site, node: str) -> None:
    """End the demo's service on a node, if it came to run."""
    app = site.root(node) / "app.py"
    if app.exists():
        site.python(str(app), "stop")


if __name__ == "__main__":
    sys.exit(main())
