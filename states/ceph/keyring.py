"""Keyring files: the state that keeps an entity's key in a file of its users, never showing it."""

from __future__ import annotations

from protocol.errors import StateError
from protocol.secrets import UNKNOWN, Secret
from states.ceph import auth, client, keys
from states.ceph.keys import Entry
from states.ceph.place import File, plan_file, read_text
from states.context import Context
from states.contract import Plan
from states.host.process import CommandMissing
from states.registry import state


@state("ceph.keyring")
def keyring(
    ctx: Context,
    name: str,
    *,
    entity: str,
    key: str | None = None,
    user: str = "root",
    group: str = "root",
    mode: str = "0600",
    admin_key: str | None = None,
) -> Plan:
    """The keyring file `name` holds the key of `entity` (`client.nova`), for its owner only.

    key: the key. Without it the cluster is asked, where this host has a key to ask with; elsewhere a file that holds
    a key of the entity is left as it is. Other entities in the file stay. Only mode, user and group are ever shown.
    Raises ArgumentError, StateError.
    """
    keys.check_entity(entity)
    held = _held(read_text(ctx, name), name)
    wanted = _from_cluster(ctx, entity, held, admin_key) if key is None else keys.check_key(key, entity)
    file = File(name, None, user=user, group=group, mode=mode, shown=False)
    if wanted is not None and (keys.is_unknown(wanted) or entity not in held or held[entity].key[:] != wanted[:]):
        caps = held[entity].caps if entity in held else {}
        text = keys.render({**held, entity: Entry(wanted, caps)})
        file = File(name, text, user=user, group=group, mode=mode, shown=False, unknown=keys.is_unknown(wanted))
    return plan_file(ctx, file)


def _held(text: str | None, name: str) -> dict[str, Entry]:
    """What the file holds now; nothing when it is no keyring, for then it is written anew."""
    try:
        return keys.parse(text or "", name)
    except StateError:
        return {}


def _from_cluster(ctx: Context, entity: str, held: dict[str, Entry], admin_key: str | None) -> Secret | None:
    """The key the cluster has for `entity`; None when it cannot be asked from here and the file holds one."""
    try:
        found = auth.read(client.connect(ctx, admin_key), entity)
    except (client.NotReady, CommandMissing):
        if entity in held:
            return None
        if ctx.assumed():
            return Secret(UNKNOWN)
        raise
    if found is not None:
        return found.key
    if ctx.assumed():
        return Secret(UNKNOWN)
    raise StateError(f"the cluster has no {entity}", help="declare it with ceph.auth, and require that")
