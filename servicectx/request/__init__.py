"""WHAT was asked for: resolved once, without locks and processes."""
