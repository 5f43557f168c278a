"""How a host is really touched: processes, files, systemd, packages."""
