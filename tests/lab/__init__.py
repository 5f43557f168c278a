"""Tests on booted hosts: real systemd, real packages, a real network that can be cut."""
