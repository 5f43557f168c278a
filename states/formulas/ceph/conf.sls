# /etc/ceph/ceph.conf, the same on all hosts.
{%- from "ceph/map.jinja" import ceph, monitors, fsid with context %}
include:
  - ceph.packages
{%- if not fsid %}
{%-   do raise("ceph: no fsid: set ceph:fsid in the pillar, or use `stackmaster run ceph.deploy`") %}
{%- endif %}

{%- set vectors = [] %}
{%- for address in monitors.values() %}
{%-   set host = "[" ~ address ~ "]" if ":" in address else address %}
{%-   do vectors.append("[v2:" ~ host ~ ":3300/0,v1:" ~ host ~ ":6789/0]") %}
{%- endfor %}
{%- set global = {
  "fsid": fsid,
  "mon_initial_members": monitors | list,
  "mon_host": vectors,
  "public_network": ceph.public_network,
  "cluster_network": ceph.cluster_network,
  "auth_cluster_required": "cephx",
  "auth_service_required": "cephx",
  "auth_client_required": "cephx",
  "auth_allow_insecure_global_id_reclaim": false,
} %}
{%- set sections = {"global": global} %}
{%- for section, options in ceph.conf.items() %}
{%-   if section in sections %}
{%-     do sections[section].update(options or {}) %}
{%-   else %}
{%-     do sections.update({section: options or {}}) %}
{%-   endif %}
{%- endfor %}

ceph configuration:
  ceph.conf:
    - name: /etc/ceph/ceph.conf
    - sections: {{ sections | json }}
    - require:
      - pkg: ceph packages
