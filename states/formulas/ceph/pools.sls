# The pools. Those for block devices are marked as such by ceph.rbd, which needs OSDs that serve them.
{%- from "ceph/map.jinja" import pools with context %}
{%- for name, pool in pools.items() %}
ceph pool {{ name }}:
  ceph.pool:
    - name: {{ name }}
{%-   for argument, value in pool.items() if (argument, value) != ("application", "rbd") %}
    - {{ argument }}: {{ value | json }}
{%-   endfor %}
{% endfor %}
