"""Everything about one service: wsgi."""
