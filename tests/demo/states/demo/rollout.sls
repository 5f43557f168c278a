# The orchestration: `stackmaster run demo.rollout`. Steps run in the order their requisites ask for.

config:
  salt.state:
    - tgt: '*'
    - sls: demo.config

keyring:
  salt.state:
    - tgt: node1
    - sls: demo.keyring
    - require:
      - salt: config

collect:
  salt.function:
    - name: file.read_secret
    - tgt: node1
    - arg:
      - /etc/demo/keyring
    - require:
      - salt: keyring

distribute:
  salt.state:
    - tgt: 'node[2-3]'
    - sls: demo.keyring
    - pillar:
        demo:
          keyring: ${steps.collect.node1}
    - require:
      - salt: collect

everywhere:
  gate.until:
    - tgt: '*'
    - function: file.exists
    - arg:
      - /etc/demo/keyring
    - condition: value == true
    - samples: 2
    - interval: 0.3
    - timeout: 30
    - require:
      - salt: distribute

rollout:
  salt.state:
    - tgt: '*'
    - batch: 1
    - sls: demo.app
    - require:
      - gate: everywhere
