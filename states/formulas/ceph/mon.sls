# A monitor. The keys matter only while it has no store: ceph.deploy gives them.
{%- from "ceph/map.jinja" import ceph, id, fsid, monitors with context %}
include:
  - ceph.conf

ceph monitor:
  ceph.monitor:
    - name: {{ id }}
    - fsid: "{{ fsid }}"
    - members: {{ monitors | json }}
{%- if ceph["keys"].get("mon") %}
    - keys:
        mon: "{{ ceph["keys"].mon }}"
        admin: "{{ ceph["keys"].admin }}"
        bootstrap_osd: "{{ ceph["keys"].bootstrap_osd }}"
{%- endif %}
    - require:
      - ceph: ceph configuration
