"""Everything about one service: zookeeper."""
