"""WHAT can be run: one file for each service, and the register of their names."""
