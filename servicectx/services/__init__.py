"""The services: one folder for each, the shared modules, and the registry of names."""
