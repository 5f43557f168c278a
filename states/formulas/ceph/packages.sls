# The packages of all roles of this host, in one transaction.
{%- from "ceph/map.jinja" import ceph, mine, client with context %}
{%- set wanted = [] %}
{%- for role in mine + (["mounts"] if client.mount is defined and client.mount else []) %}
{%-   for package in ceph.packages[role] if package not in wanted %}
{%-     do wanted.append(package) %}
{%-   endfor %}
{%- endfor %}
{%- if ceph.repo %}
include:
  - ceph.repo
{%- endif %}
{%- if not wanted %}
{%-   do raise("ceph: the pillar gives " ~ grains["id"] ~ " no role") %}
{%- endif %}

ceph packages:
  pkg.installed:
    - pkgs: {{ wanted | json }}
{%- if ceph.repo %}
    - require:
      - pkgrepo: ceph repository
{%- endif %}
