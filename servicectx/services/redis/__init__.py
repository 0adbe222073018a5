"""Everything about one service: redis."""
