"""Everything about one service: command."""
