"""SLS to assignments: YAML, Jinja, high data, low chunks, pillar."""
