# A manager.
{%- from "ceph/map.jinja" import id, admin_key with context %}
include:
  - ceph.conf

ceph manager:
  ceph.manager:
    - name: {{ id }}
{%- if admin_key %}
    - admin_key: "{{ admin_key }}"
{%- endif %}
    - require:
      - ceph: ceph configuration
