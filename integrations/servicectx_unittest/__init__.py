"""servicectx for unittest."""
