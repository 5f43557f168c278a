# The OSDs of this host, each under its label.
{%- from "ceph/map.jinja" import ceph, id with context %}
include:
  - ceph.conf

ceph bootstrap-osd keyring:
  ceph.keyring:
    - name: /var/lib/ceph/bootstrap-osd/ceph.keyring
    - entity: client.bootstrap-osd
    - user: ceph
    - group: ceph
{%- if ceph["keys"].get("bootstrap_osd") %}
    - key: "{{ ceph["keys"].bootstrap_osd }}"
{%- endif %}
    - require:
      - ceph: ceph configuration
{%- for label, source in ceph.osds.get(id, {}).items() %}

ceph osd {{ label }}:
  ceph.osd:
    - name: {{ label }}
{%-   for argument, value in source.items() %}
    - {{ argument }}: {{ value | json }}
{%-   endfor %}
    - require:
      - ceph: ceph bootstrap-osd keyring
{%- endfor %}
