{%- set keyring = salt['pillar.get']('demo:keyring', '') %}
{%- if keyring %}
/etc/demo/keyring:
  file.managed:
    - contents: {{ keyring | json }}
    - mode: '0600'
{%- else %}
# The first node makes the key; nothing shows it, and it is made once.
make the key:
  cmd.run:
    - name: umask 077; printf '[client.demo]\nkey = %s\n' "$(head -c 24 /dev/urandom | base64)" > {{ grains['demo_root'] }}/etc/demo/keyring
    - creates: /etc/demo/keyring
{%- endif %}
