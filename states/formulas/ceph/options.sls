# Options in the monitors' configuration database.
{%- from "ceph/map.jinja" import ceph with context %}
{%- for section, options in ceph.options.items() %}
{%-   for option, value in options.items() %}
ceph option {{ section }}/{{ option }}:
  ceph.config_set:
    - name: {{ section }}/{{ option }}
    - section: {{ section }}
    - option: {{ option }}
    - value: {{ value | json }}
{%   endfor %}
{%- endfor %}
