"""The arguments of a request, resolved once, without locks and processes."""
