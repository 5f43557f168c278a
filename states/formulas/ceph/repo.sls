# The package source of Ceph, when the pillar names one.
{%- from "ceph/map.jinja" import ceph with context %}
{%- if ceph.repo %}
ceph repository:
  pkgrepo.managed:
{%- for argument, value in ceph.repo.items() %}
    - {{ argument }}: {{ value | json }}
{%- endfor %}
{%- endif %}
