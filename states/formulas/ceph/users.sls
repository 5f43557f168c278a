# The users of the cluster and what they may do.
{%- from "ceph/map.jinja" import users with context %}
{%- for name, caps in users.items() %}
ceph user {{ name }}:
  ceph.auth:
    - name: client.{{ name }}
    - caps: {{ caps | json }}
{% endfor %}
