"""Everything about one service: elasticsearch."""
