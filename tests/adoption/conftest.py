"""The projects are run by `test_adoption.py`, each in a copy and with its own server."""

collect_ignore_glob = ["*/*"]
