# The package source of Ceph, when the pillar names one.
{%- from "ceph/map.jinja" import ceph with context %}
{%- if ceph.repository %}
ceph repository:
  pkgrepo.managed:
{%- for argument, value in ceph.repository.items() %}
    - {{ argument }}: {{ value | json }}
{%- endfor %}
{%- endif %}
