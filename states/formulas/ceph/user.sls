# A person's account for working on the cluster, with sudo. The daemons' user `ceph` comes with the packages.
{%- from "ceph/map.jinja" import ceph with context %}
{%- set operator = ceph.operator or {} %}
{%- if operator %}
ceph operator:
  user.present:
    - name: {{ operator.name }}
    - shell: {{ operator.get("shell", "/bin/bash") }}
    - createhome: true
{%-   if operator.get("sudo", false) %}

ceph operator may use sudo:
  file.managed:
    - name: /etc/sudoers.d/{{ operator.name }}
    - contents: "{{ operator.name }} ALL = (root) NOPASSWD:ALL"
    - mode: "0440"
    - check_cmd: /usr/sbin/visudo -c -f
    - require:
      - user: ceph operator
{%-   endif %}
{%- endif %}
