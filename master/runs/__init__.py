"""Orchestrations: the engine decides, the driver carries out."""
