"""Everything about one service: kafka."""
