"""Everything about one service: smtp."""
