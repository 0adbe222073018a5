"""What servers speak: just enough of each protocol for probes and namespaces, with the standard library alone."""
