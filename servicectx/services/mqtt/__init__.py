"""Everything about one service: mqtt."""
