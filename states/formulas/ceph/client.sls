# A host that uses the cluster: configuration, keyrings of its users, and a CephFS mount.
{%- from "ceph/map.jinja" import ceph, client with context %}
{%- set held = {} %}
{%- if client.user is defined %}
{%-   do held.update({client.user: {}}) %}
{%- endif %}
{%- for user, file in (client.get("users") or {}).items() %}
{%-   do held.update({user: file or {}}) %}
{%- endfor %}
include:
  - ceph.conf
{%- for user, file in held.items() %}

ceph keyring of {{ user }}:
  ceph.keyring:
    - name: {{ file.get("path", "/etc/ceph/ceph.client." ~ user ~ ".keyring") }}
    - entity: client.{{ user }}
    - user: {{ file.get("owner", "root") }}
    - group: {{ file.get("group", file.get("owner", "root")) }}
    - mode: "{{ file.get("mode", "0600") }}"
{%-   if ceph["keys"].get("users", {}).get(user) %}
    - key: "{{ ceph["keys"].users[user] }}"
{%-   endif %}
    - require:
      - ceph: ceph configuration
{%- endfor %}
{%- if client.mount is defined and client.mount %}

ceph file system is mounted:
  mount.mounted:
    - name: {{ client.mount }}
    - device: none
    - fstype: fuse.ceph
    - opts: ceph.id={{ client.user }},_netdev,defaults
    - mkmnt: true
    - persist: true
    - require:
      - ceph: ceph keyring of {{ client.user }}
{%- endif %}
