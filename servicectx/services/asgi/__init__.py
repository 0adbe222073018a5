"""Everything about one service: asgi."""
