"""Everything about one service: moto."""
