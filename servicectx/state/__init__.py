"""What lies on disk about instances: locks, leases, records and marks."""
