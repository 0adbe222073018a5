"""Everything about one service: postgres."""
