"""Everything about one service: mongodb."""
