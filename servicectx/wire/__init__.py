"""Protocols of several services."""
