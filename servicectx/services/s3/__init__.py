"""Everything about one service: s3."""
