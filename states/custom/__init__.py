"""Runs a state tree's own Python code (`_modules`, `_states`, `_grains`, `_utils`), in the process of a job only."""
