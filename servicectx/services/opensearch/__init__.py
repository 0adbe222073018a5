"""Everything about one service: opensearch."""
