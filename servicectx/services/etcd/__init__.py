"""Everything about one service: etcd."""
