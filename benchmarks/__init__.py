"""The cost of `servicectx`, compared with a bare server and with its peers: `python -m benchmarks --help`."""
