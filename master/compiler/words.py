"""The words of the state language that belong to every state: requisites, their `_in` forms, and global options."""

from __future__ import annotations

from typing import Final

REQUISITES: Final = (
    "require",
    "require_any",
    "watch",
    "watch_any",
    "prereq",
    "onchanges",
    "onchanges_any",
    "onfail",
    "onfail_any",
    "onfail_all",
    "listen",
)
"""References to states that this one depends on."""

REQUISITES_IN: Final = (
    "require_in",
    "watch_in",
    "prereq_in",
    "onchanges_in",
    "onfail_in",
    "listen_in",
)
"""References to states that shall depend on this one."""

REFERENCES: Final = frozenset((*REQUISITES, *REQUISITES_IN, "use", "use_in"))
"""Arguments whose value is a list of references to states."""

OPTIONS: Final = frozenset(
    {
        "unless",
        "onlyif",
        "creates",
        "check_cmd",
        "retry",
        "failhard",
        "parallel",
        "order",
        "timeout",
        "fire_event",
        "reload_modules",
        "reload_grains",
        "reload_pillar",
        "runas",
        "umask",
        "saltenv",
        "no_log",
        "aggregate",
        "skip_watch",
        "cmd_opts_exclude",
    }
)
"""Arguments that every state takes, unless its own signature has one of the name."""

WORDS: Final = frozenset((*REFERENCES, *OPTIONS, "name", "names"))
"""Every argument that needs no entry in a state's signature."""
