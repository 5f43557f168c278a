demo:
  workers: 2
