"""Ceph: its configuration, keys, daemons, pools and file systems as states of a host and of its cluster."""

from states.ceph import auth, conf, filesystem, keyring, manager, mds, monitor, option, osd, pool

__all__ = ["auth", "conf", "filesystem", "keyring", "manager", "mds", "monitor", "option", "osd", "pool"]
