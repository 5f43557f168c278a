# The daemons of this host that need a cluster to be there: managers, metadata servers, OSDs.
{%- from "ceph/map.jinja" import mine with context %}
include:
  - ceph.conf
{%- for role, sls in {"managers": "mgr", "mds": "mds", "osds": "osd"}.items() if role in mine %}
  - ceph.{{ sls }}
{%- endfor %}
