"""What `servicectx` costs, beside a bare server and beside its peers: `python -m benchmarks --help`."""
