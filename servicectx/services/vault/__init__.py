"""Everything about one service: vault."""
