"""Everything about one service: rabbitmq."""
