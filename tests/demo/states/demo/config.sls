/etc/demo/app.json:
  file.managed:
    - source: salt://demo/app.json.j2
    - template: jinja
    - makedirs: true
    - mode: '0644'
