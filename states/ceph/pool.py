"""Pools: what the cluster says of them, and the state that creates and repairs one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from protocol.data import Data
from protocol.errors import ArgumentError
from protocol.results import Change
from states.ceph import client
from states.ceph.client import Cluster
from states.context import Context
from states.contract import Action, Perform, Plan
from states.registry import state

Autoscale = Literal["on", "off", "warn"]


@dataclass(frozen=True, slots=True)
class Pool:
    """A replicated pool as the cluster has it."""

    size: int
    min_size: int
    pg_num: int
    autoscale: str
    applications: frozenset[str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A pool as it should be; None is left as it is."""

    name: str
    pg_num: int | None
    size: int | None
    min_size: int | None
    autoscale: Autoscale | None
    application: str | None
    rule: str | None


@state("ceph.pool")
def pool(
    ctx: Context,
    name: str,
    *,
    pg_num: int | None = None,
    size: int | None = None,
    min_size: int | None = None,
    autoscale: Autoscale | None = None,
    application: str | None = None,
    rule: str | None = None,
    admin_key: str | None = None,
) -> Plan:
    """The replicated pool `name` exists, with these settings; what is not given is left to the cluster.

    pg_num: placement groups; held only while the pool's autoscaler does not change them itself. size, min_size:
    copies, and copies that must be there for writing. autoscale: "on", "off" or "warn". application: who uses it
    (`rbd`, `cephfs`, `rgw`); a pool for `rbd` is initialised by `rbd pool init`. rule: the CRUSH rule of a new pool.
    Raises ArgumentError, StateError.
    """
    wanted = Wanted(name, pg_num, size, min_size, autoscale, application, rule)
    _check(wanted)
    found = client.look(ctx, admin_key, lambda cluster: read(cluster, name))

    def cluster() -> Cluster:
        return client.connect(ctx, admin_key)

    if found is None and f"ceph pool {name}" in ctx.made:
        actions = _on_foretold(wanted, cluster)
    elif found is None or name not in found:
        actions = [Action(Change("create", f"ceph pool {name}", new=_told(wanted)), _create(cluster, wanted))]
    else:
        actions = repairs(found[name], wanted, cluster)
    return Plan(actions, f"the pool {name} is as declared" if not actions else f"the pool {name} was made as declared")


def read(cluster: Cluster, about: str) -> dict[str, Pool]:
    """The pools of the cluster by name; that of the pool `about` is certainly up to date. Raises StateError."""
    return {row["pool_name"]: _pool(row) for row in cluster.ask("osd", "pool", "ls", "detail", about=about)}


def _pool(row: Mapping[str, Any]) -> Pool:
    return Pool(
        size=row["size"],
        min_size=row["min_size"],
        pg_num=row.get("pg_num_target", row["pg_num"]),
        autoscale=row.get("pg_autoscale_mode", "off"),
        applications=frozenset(row.get("application_metadata", {})),
    )


def repairs(found: Pool, wanted: Wanted, cluster: Callable[[], Cluster]) -> list[Action]:
    """What makes the existing pool as wanted."""
    subject = f"ceph pool {wanted.name}"
    settings = [("size", found.size, wanted.size), ("min_size", found.min_size, wanted.min_size)]
    if (wanted.autoscale or found.autoscale) != "on":
        settings.append(("pg_num", found.pg_num, wanted.pg_num))
    actions = []
    if wanted.autoscale is not None and wanted.autoscale != found.autoscale:
        change = Change("change", subject, "pg_autoscale_mode", old=found.autoscale, new=wanted.autoscale)
        actions.append(Action(change, _set(cluster, wanted.name, "pg_autoscale_mode", wanted.autoscale)))
    for aspect, old, new in settings:
        if new is not None and old != new:
            change = Change("change", subject, aspect, old=old, new=new)
            actions.append(Action(change, _set(cluster, wanted.name, aspect, str(new))))
    if wanted.application is not None and wanted.application not in found.applications:
        change = Change("change", subject, "application", old=sorted(found.applications), new=wanted.application)
        actions.append(Action(change, _enable(cluster, wanted.name, wanted.application)))
    return actions


def _on_foretold(wanted: Wanted, cluster: Callable[[], Cluster]) -> list[Action]:
    """What a dry run says of a pool that an earlier step creates: only its application comes later."""
    if wanted.application is None:
        return []
    change = Change("change", f"ceph pool {wanted.name}", "application", old=[], new=wanted.application)
    return [Action(change, _enable(cluster, wanted.name, wanted.application))]


def _check(wanted: Wanted) -> None:
    for argument, number in (("pg_num", wanted.pg_num), ("size", wanted.size), ("min_size", wanted.min_size)):
        if number is not None and number < 1:
            raise ArgumentError(f"the {argument} of the pool {wanted.name} must be at least 1, not {number}")
    if wanted.size is not None and wanted.min_size is not None and wanted.min_size > wanted.size:
        raise ArgumentError(f"the min_size of the pool {wanted.name} is larger than its size: nothing could be written")


def _told(wanted: Wanted) -> Data:
    settings = {
        "pg_num": wanted.pg_num,
        "size": wanted.size,
        "min_size": wanted.min_size,
        "autoscale": wanted.autoscale,
        "application": wanted.application,
        "rule": wanted.rule,
    }
    return {key: value for key, value in settings.items() if value is not None}


def create_words(wanted: Wanted) -> list[str]:
    """The command that creates the pool, with all that one command can say."""
    words = ["osd", "pool", "create", wanted.name]
    if wanted.pg_num is not None:
        words += [str(wanted.pg_num), str(wanted.pg_num)]
    words.append("replicated")
    if wanted.rule is not None:
        words.append(wanted.rule)
    if wanted.size is not None and wanted.size > 1:
        words += ["--size", str(wanted.size)]
    if wanted.autoscale is not None:
        words += ["--autoscale-mode", wanted.autoscale]
    return words


def _create(cluster: Callable[[], Cluster], wanted: Wanted) -> Perform:
    def perform() -> Data:
        there = cluster()
        there.tell(*create_words(wanted), about=[wanted.name])
        if wanted.size == 1:
            _set(cluster, wanted.name, "size", "1")()
        if wanted.min_size is not None:
            _set(cluster, wanted.name, "min_size", str(wanted.min_size))()
        if wanted.application is not None:
            _enable(cluster, wanted.name, wanted.application)()
        return None

    return perform


def _set(cluster: Callable[[], Cluster], name: str, setting: str, value: str) -> Perform:
    def perform() -> Data:
        sure = ["--yes-i-really-mean-it"] if (setting, value) == ("size", "1") else []
        cluster().tell("osd", "pool", "set", name, setting, value, *sure, about=[name])
        return None

    return perform


def _enable(cluster: Callable[[], Cluster], name: str, application: str) -> Perform:
    def perform() -> Data:
        if application == "rbd":
            cluster().rbd("pool", "init", name, about=[name])
        else:
            cluster().tell("osd", "pool", "application", "enable", name, application, about=[name])
        return None

    return perform
