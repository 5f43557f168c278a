# A host that founds the cluster or administers it: admin keyring, and the monitor where it is one.
{%- from "ceph/map.jinja" import mine with context %}
include:
{%- if "admins" in mine %}
  - ceph.admin
{%- endif %}
{%- if "monitors" in mine %}
  - ceph.mon
{%- endif %}
