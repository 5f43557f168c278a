# The CephFS file system on its two pools.
{%- from "ceph/map.jinja" import filesystem with context %}
include:
  - ceph.pools
{%- if filesystem %}

ceph file system:
  ceph.filesystem:
{%-   for argument, value in filesystem.items() %}
    - {{ argument }}: {{ value | json }}
{%-   endfor %}
    - require:
      - ceph: ceph pool {{ filesystem.metadata_pool }}
      - ceph: ceph pool {{ filesystem.data_pool }}
{%- endif %}
