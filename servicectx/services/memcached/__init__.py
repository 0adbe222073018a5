"""Everything about one service: memcached."""
