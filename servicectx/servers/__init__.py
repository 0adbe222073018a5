"""Servers that are Python: what runs in their own processes."""
