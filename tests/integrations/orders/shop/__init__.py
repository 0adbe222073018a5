"""A small order service: orders and stock in Postgres, prices cached in Redis."""

from shop.store import NotEnough, Shop, UnknownProduct

__all__ = ["NotEnough", "Shop", "UnknownProduct"]
