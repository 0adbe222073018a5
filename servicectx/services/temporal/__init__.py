"""Everything about one service: temporal."""
