# Thin targets; each does its own set-up. `make demo` runs the main job, `make test` passes the tests.
PY := .venv/bin/python

.PHONY: demo test check conformance lab-ceph bench venv clean

venv:
	@packaging/venv.sh

demo: venv
	@$(PY) -m tests.demo

test: venv
	@$(PY) -m tests.tiers

check: venv
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --config setup.cfg

conformance: venv
	@$(PY) -m tests.conformance $(FILES)

lab-ceph: venv
	@$(PY) -m pytest -q -s -m lab tests/lab/test_ceph_deploy.py

bench: venv
	@$(PY) -m tests.benchmarks

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
