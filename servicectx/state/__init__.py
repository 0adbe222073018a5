"""The files of instances on disk: locks, leases, records and markers."""
