# stackmaster run ceph.deploy: from bare hosts to a healthy cluster with pools, users and mounted clients.
#
# What does not wait for something runs at the same time: each step requires only what it needs. Run again it changes
# nothing, and after damage it reports what it repaired.
{%- from "ceph/map.jinja" import ceph, roles, monitors, first, controller, filesystem, pools, users with context %}
{%- set founders = (roles.monitors + roles.admins) | unique | list %}
{%- set servers = (roles.managers + roles.mds + roles.osds) | unique | list %}
{%- set others = (servers + roles.clients) | unique | reject("in", founders) | list %}
{%- set labels = [] %}
{%- for source in ceph.osds.values() %}
{%-   do labels.extend(source | list) %}
{%- endfor %}
{%- set osds = labels | length %}
{%- set held = [] %}
{%- for client in ceph.clients.values() %}
{%-   for user in ([client.user] if client.user is defined else []) + (client.get("users") or {}) | list if user not in held %}
{%-     do held.append(user) %}
{%-   endfor %}
{%- endfor %}
{%- set block = pools.values() | selectattr("application", "defined") | selectattr("application", "equalto", "rbd") | list
  if osds else [] %}
{%- set content = pools or users or ceph.options %}
{%- set fsid = (ceph.fsid or "${steps.keys.*.fsid}") | json %}

keys:
  salt.function:
    - name: ceph.bootstrap_keys
    - tgt: {{ first }}
    - tgt_type: list
    - kwarg: {{ {"fsid": ceph.fsid, "monitors": monitors} | json }}

# Packages, configuration and monitors.
monitors:
  salt.state:
    - tgt: {{ founders | json }}
    - tgt_type: list
    - sls: ceph.founder
    - pillar:
        ceph:
          fsid: {{ fsid }}
          keys:
            mon: "${steps.keys.*.mon}"
            admin: "${steps.keys.*.admin}"
            bootstrap_osd: "${steps.keys.*.bootstrap_osd}"
    - require:
      - salt: keys
{%- if others %}

# Meanwhile packages and configuration of all other hosts.
hosts:
  salt.state:
    - tgt: {{ others | json }}
    - tgt_type: list
    - sls: ceph.conf
    - pillar:
        ceph:
          fsid: {{ fsid }}
    - require:
      - salt: keys
{%- endif %}

quorum:
  gate.until:
    - tgt: {{ first }}
    - tgt_type: list
    - function: ceph.quorum
    - condition: quorum_size == {{ monitors | length }}
    - interval: {{ ceph.waits.interval }}
    - timeout: {{ ceph.waits.quorum }}
    - require:
      - salt: monitors
{%- if servers %}

services:
  salt.state:
    - tgt: {{ servers | json }}
    - tgt_type: list
    - sls: ceph.services
    - pillar:
        ceph:
          fsid: {{ fsid }}
          keys:
            admin: "${steps.keys.*.admin}"
            bootstrap_osd: "${steps.keys.*.bootstrap_osd}"
    - require:
      - gate: quorum
{%-   if others %}
      - salt: hosts
{%-   endif %}
{%- endif %}
{%- if content %}

# Meanwhile what the cluster holds: pools without data need no OSD yet.
cluster:
  salt.state:
    - tgt: {{ controller }}
    - tgt_type: list
    - sls: ceph.cluster
    - require:
      - gate: quorum
{%- endif %}

ready:
  gate.until:
    - tgt: {{ controller }}
    - tgt_type: list
    - function: ceph.status
    - condition: >-
        osds_up >= {{ osds }} and osds_in >= {{ osds }} and pgs_active_clean == pgs_total
        {%- if pools and osds %} and pgs_total > 0{% endif %}
        {%- if filesystem and roles.mds %} and mds_active >= 1{% endif %}
    - interval: {{ ceph.waits.interval }}
    - timeout: {{ ceph.waits.ready }}
    - require:
      - gate: quorum
{%- if content %}
      - salt: cluster
{%- endif %}
{%- if servers %}
      - salt: services
{%- endif %}
{%- if block %}

block:
  salt.state:
    - tgt: {{ controller }}
    - tgt_type: list
    - sls: ceph.rbd
    - require:
      - gate: ready
{%- endif %}
{%- if held %}

client_keys:
  salt.function:
    - name: ceph.keyring_get
    - tgt: {{ controller }}
    - tgt_type: list
    - kwarg: {{ {"entities": held} | json }}
    - require:
{%-   if content %}
      - salt: cluster
{%-   else %}
      - gate: quorum
{%-   endif %}
{%- endif %}
{%- if roles.clients %}

clients:
  salt.state:
    - tgt: {{ roles.clients | json }}
    - tgt_type: list
    - sls: ceph.client
    - pillar:
        ceph:
          fsid: {{ fsid }}
{%-   if held %}
          keys:
            users:
{%-     for user in held %}
              {{ user }}: "${steps.client_keys.*.{{ user }}}"
{%-     endfor %}
{%-   endif %}
    - require:
      - gate: ready
{%-   if held %}
      - salt: client_keys
{%-   endif %}
{%- endif %}

healthy:
  gate.until:
    - tgt: {{ controller }}
    - tgt_type: list
    - function: ceph.status
    - condition: health == "HEALTH_OK" and mgr_available and pgs_active_clean == pgs_total
    - samples: 2
    - interval: {{ ceph.waits.interval }}
    - timeout: {{ ceph.waits.healthy }}
    - require:
      - gate: ready
{%- if block %}
      - salt: block
{%- endif %}
{%- if roles.clients %}
      - salt: clients
{%- endif %}
