"""Prepared data directories: templates, snapshots, spares, and the copies that instances run on."""
