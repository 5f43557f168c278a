# One small web service a node. It is restarted only when what it runs with is not what is on the disk, and the restart
# counts only once it answers again: with `batch: 1` a node that does not come back stops the roll-out.
{%- set app = grains['pythonexecutable'] ~ ' ' ~ grains['demo_root'] ~ '/app.py' %}
/app.py:
  file.managed:
    - source: salt://demo/app.py
    - mode: '0755'

app:
  cmd.run:
    - name: {{ app }} restart
    - unless: {{ app }} current
    - timeout: 30
    - require:
      - file: /app.py
