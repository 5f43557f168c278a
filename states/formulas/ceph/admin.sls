# The admin keyring, on the hosts from which the cluster is administered.
{%- from "ceph/map.jinja" import ceph with context %}
include:
  - ceph.conf

ceph admin keyring:
  ceph.keyring:
    - name: /etc/ceph/ceph.client.admin.keyring
    - entity: client.admin
{%- if ceph["keys"].get("admin") %}
    - key: "{{ ceph["keys"].admin }}"
{%- endif %}
    - require:
      - ceph: ceph configuration
