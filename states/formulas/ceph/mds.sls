# A metadata server of CephFS.
{%- from "ceph/map.jinja" import id, admin_key with context %}
include:
  - ceph.conf

ceph mds:
  ceph.mds:
    - name: {{ id }}
{%- if admin_key %}
    - admin_key: "{{ admin_key }}"
{%- endif %}
    - require:
      - ceph: ceph configuration
