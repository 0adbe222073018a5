"""Everything about one service: nats."""
