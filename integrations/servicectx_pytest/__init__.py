"""servicectx for pytest."""
