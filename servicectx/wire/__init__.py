"""Protocols that several services speak."""
