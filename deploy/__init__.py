"""How omapush gets onto machines: the Debian package, service units, container files."""
