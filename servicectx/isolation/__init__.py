"""Namespaces of a running service, one for each test."""
