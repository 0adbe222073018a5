"""servicectx for behave."""
