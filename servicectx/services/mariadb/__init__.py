"""Everything about one service: mariadb."""
