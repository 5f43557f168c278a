"""`stackmaster keys`: who may join, and the token and fingerprint that a new minion needs."""

from __future__ import annotations

import click

from master.cli import exits
from master.cli.app import Verbs
from master.cli.nodeset import fold
from master.cli.options import KEYS, SPAN, common, current
from master.cli.verbs_jobs import ago
from protocol.errors import NoTargetError

HELP = """Keys of minions: list, accept, reject, delete; tokens that let minions in by themselves.

\b
  stackmaster keys ls
  stackmaster keys accept osd1 'mon*'
  stackmaster keys token --ttl 1h --uses 10     for `stackminion join`
  stackmaster keys master                       this master's fingerprint
"""


@click.group(cls=Verbs, help=HELP)
@common
def keys() -> None:
    """The group `keys`."""


@keys.command("ls", help="Every key and its state.\n\n\b\n  stackmaster keys ls --state pending")
@click.option(
    "--state", type=click.Choice(["pending", "accepted", "rejected", "denied"]), default=None, help="Only these."
)
@common
def list_(state: str | None) -> int:
    """Print the keys, those that wait for a decision first."""
    screen = current().screen
    with current().client() as client:
        found = [k for k in client.call("keys.list").get("keys", []) if state is None or k.get("state") == state]
    if screen.machine:
        screen.records("stackmaster.keys/1", "keys", found)
        return exits.DONE
    found.sort(key=lambda k: (k.get("state") != "pending", str(k.get("state")), str(k.get("id"))))
    rows = [(str(k.get("id")), str(k.get("state")), str(k.get("fingerprint", "")), ago(k)) for k in found]
    screen.table(("MINION", "STATE", "FINGERPRINT", "SINCE"), rows)
    waiting = [str(k.get("id")) for k in found if k.get("state") == "pending"]
    if waiting:
        screen.talk(f"{len(waiting)} waiting: compare the fingerprint, then `stackmaster keys accept {waiting[0]}`")
    return exits.DONE


def _decide(call: str, done: str, ids: tuple[str, ...]) -> int:
    invocation = current()
    with invocation.client() as client:
        changed = [str(id) for id in client.call(call, {"ids": list(ids)}).get("ids", [])]
    if not changed:
        raise NoTargetError(f"no key matches {', '.join(ids)}", help="`stackmaster keys ls` lists them")
    if invocation.screen.machine:
        invocation.screen.document("stackmaster.keys-changed/1", {"ids": changed, "state": done})
    else:
        invocation.screen.data(f"{done}: {fold(changed)}")
    return exits.DONE


@keys.command("accept", help="Let minions in.\n\n\b\n  stackmaster keys accept osd1 'mon*'")
@click.argument("ids", nargs=-1, required=True, metavar="ID|GLOB...", shell_complete=KEYS)
@common
def accept(ids: tuple[str, ...]) -> int:
    """Accept keys."""
    return _decide("keys.accept", "accepted", ids)


@keys.command("reject", help="Keep minions out.\n\n\b\n  stackmaster keys reject stranger")
@click.argument("ids", nargs=-1, required=True, metavar="ID|GLOB...", shell_complete=KEYS)
@common
def reject(ids: tuple[str, ...]) -> int:
    """Reject keys; a connected minion is cut off."""
    return _decide("keys.reject", "rejected", ids)


@keys.command("delete", help="Forget keys; the minion may ask again.\n\n\b\n  stackmaster keys delete osd1")
@click.argument("ids", nargs=-1, required=True, metavar="ID|GLOB...", shell_complete=KEYS)
@common
def delete(ids: tuple[str, ...]) -> int:
    """Delete keys; a connected minion is cut off."""
    return _decide("keys.delete", "deleted", ids)


@keys.command("token", help="A token with which minions join by themselves.\n\n\b\n"
              "  stackmaster keys token --ttl 1h --uses 10\n  echo TOKEN | stackminion join -")  # fmt: skip
@click.option("--ttl", type=SPAN, default=3600.0, show_default="1h", help="How long it holds.")
@click.option("--uses", type=click.IntRange(1), default=1, show_default=True, help="How many minions may use it.")
@common
def token(ttl: float, uses: int) -> int:
    """Print a new token; it is a secret until it is used up."""
    invocation = current()
    with invocation.client() as client:
        made = client.call("keys.token", {"ttl": ttl, "uses": uses})
    if invocation.screen.machine:
        invocation.screen.document("stackmaster.token/1", made)
    else:
        invocation.screen.data(str(made.get("token", "")))
        invocation.screen.talk("whoever has this token can join; hand it over as you would a password")
    return exits.DONE


@keys.command("master", help="This master's public key and fingerprint.\n\n\b\n  stackmaster keys master")
@common
def master() -> int:
    """Print the master's key, for minions to pin."""
    invocation = current()
    with invocation.client() as client:
        found = client.call("keys.master")
    if invocation.screen.machine:
        invocation.screen.document("stackmaster.master-key/1", found)
    else:
        invocation.screen.data(str(found.get("key", "")))
        invocation.screen.talk(f"fingerprint {found.get('fingerprint', '')}")
    return exits.DONE
