"""WHO shares an instance: files and locks, no processes."""
