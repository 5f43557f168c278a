"""Ceph: daemons, pools, users, keyrings and file systems as states."""
