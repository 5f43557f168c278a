# All that this host is to be, by its roles: for the top file. A new cluster is made by `stackmaster run ceph.deploy`.
{%- from "ceph/map.jinja" import mine, id, controller with context %}
include:
  - ceph.user
  - ceph.conf
{%- set parts = {
  "admins": "admin", "monitors": "mon", "managers": "mgr", "mds": "mds", "osds": "osd", "clients": "client",
} %}
{%- for role, sls in parts.items() if role in mine %}
  - ceph.{{ sls }}
{%- endfor %}
{%- if id == controller %}
  - ceph.cluster
  - ceph.rbd
{%- endif %}
