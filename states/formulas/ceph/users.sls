# The users of the cluster and what they may do.
{%- from "ceph/map.jinja" import ceph with context %}
{%- for name, caps in ceph.users.items() %}
ceph user {{ name }}:
  ceph.auth:
    - name: client.{{ name }}
    - caps: {{ caps | json }}
{% endfor %}
