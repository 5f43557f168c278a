"""Entities of cephx: what the cluster holds of them, and the state that creates one and repairs its capabilities."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from protocol.data import Data
from protocol.errors import ArgumentError, StateError
from protocol.results import Change
from protocol.secrets import Secret
from states.ceph import client, keys
from states.ceph.client import CephError, Cluster
from states.ceph.keys import Caps, Entry
from states.context import Context
from states.contract import Action, Perform, Plan
from states.registry import state


@state("ceph.auth")
def auth(
    ctx: Context,
    name: str,
    *,
    caps: Mapping[str, str],
    key: str | None = None,
    admin_key: str | None = None,
) -> Plan:
    """The entity `name` (`client.cinder`) exists in the cluster with exactly the capabilities `caps`.

    caps: daemon kind (mon, osd, mds, mgr) -> capability. key: the key it must have; without it the cluster makes one
    and an existing key stays. Raises ArgumentError, StateError.
    """
    keys.check_entity(name)
    wanted = _capabilities(name, caps)
    secret = None if key is None else keys.check_key(key, name)
    found = client.look(ctx, admin_key, lambda cluster: (read(cluster, name),))
    actions = plan_entity(found[0] if found else None, name, wanted, secret, Admin(ctx, admin_key))
    return Plan(actions, f"{name} is as declared" if not actions else f"{name} was made as declared")


def read(cluster: Cluster, entity: str) -> Entry | None:
    """The key and capabilities of `entity`, None when the cluster has no such entity. Raises StateError."""
    try:
        rows = cluster.ask("auth", "get", entity, about=entity)
    except CephError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return _entry(rows[0])


def get_or_create(cluster: Cluster, entity: str, caps: Caps) -> Entry:
    """The key of `entity`, which is created with `caps` when there is none. Raises StateError."""
    command = ("auth", "get-or-create", entity, *words(caps))
    rows = client.parse(command, cluster.tell(*command, "--format", "json", about=[entity]))
    return Entry(Secret(rows[0]["key"]), dict(caps))


def words(caps: Caps) -> list[str]:
    """Capabilities as arguments of `ceph auth`: mon 'allow r' osd …"""
    return [word for kind, text in sorted(caps.items()) for word in (kind, text)]


class Admin:
    """Reaches the cluster when the time comes: nothing is asked before."""

    def __init__(self, ctx: Context, admin_key: str | None) -> None:
        self._ctx, self._key = ctx, admin_key

    def cluster(self) -> Cluster:
        """The cluster, to be asked now. Raises NotReady, CommandMissing."""
        return client.connect(self._ctx, self._key)


def plan_entity(found: Entry | None, name: str, caps: Caps, key: Secret | None, admin: Admin) -> list[Action]:
    """What makes the entity as wanted; `found` is what the cluster holds now."""
    subject = f"ceph user {name}"
    if found is None:
        return [Action(Change("create", subject, new=dict(caps)), _create(admin, name, caps, key))]
    actions = []
    if key is not None and found.key[:] != key[:]:
        actions.append(Action(Change("change", subject, "key"), _import(admin, name, caps, key)))
    if not keys.same_caps(found.caps, caps):
        change = Change("change", subject, "caps", old=dict(found.caps), new=dict(caps))
        actions.append(Action(change, _set_caps(admin, name, caps)))
    return actions


def _create(admin: Admin, name: str, caps: Caps, key: Secret | None) -> Perform:
    def perform() -> Data:
        if key is not None:
            return _import(admin, name, caps, key)()
        get_or_create(admin.cluster(), name, caps)
        return None

    return perform


def _import(admin: Admin, name: str, caps: Caps, key: Secret) -> Perform:
    def perform() -> Data:
        if keys.is_unknown(key):
            raise StateError(f"the key of {name} is not known", help="the step that should have given it did not run")
        text = keys.render({name: Entry(key, caps)})
        admin.cluster().tell("auth", "import", "-i", "-", about=[name], stdin=text)
        return None

    return perform


def _set_caps(admin: Admin, name: str, caps: Caps) -> Perform:
    def perform() -> Data:
        admin.cluster().tell("auth", "caps", name, *words(caps), about=[name])
        return None

    return perform


def _capabilities(name: str, caps: Mapping[str, Any]) -> dict[str, str]:
    for kind, text in caps.items():
        if kind not in ("mon", "osd", "mds", "mgr") or not isinstance(text, str) or not text.strip():
            raise ArgumentError(
                f"the capability {kind!r} of {name} cannot be read", help="write it like  mon: 'allow r'"
            )
    return dict(caps)


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(Secret(row["key"]), dict(row.get("caps", {})))
