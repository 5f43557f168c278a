# What the cluster holds: applied on one host that may administer it.
include:
  - ceph.options
  - ceph.filesystem
  - ceph.users
