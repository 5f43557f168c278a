# Pools for block devices are initialised for that (rbd pool init).
{%- from "ceph/map.jinja" import pools with context %}
include:
  - ceph.pools
{%- for name, pool in pools.items() if pool.application is defined and pool.application == "rbd" %}

ceph pool {{ name }} is for rbd:
  ceph.pool:
    - name: {{ name }}
    - application: rbd
    - require:
      - ceph: ceph pool {{ name }}
{%- endfor %}
