"""Everything about one service: cockroach."""
