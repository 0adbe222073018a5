"""The cache, for those who want to look at it or to clear it: what `servicectx cache` does, as functions."""

from servicectx.datadirs.cache import Cache, Entry
from servicectx.state import paths


def cache_entries() -> list[Entry]:
    """What the cache holds: prepared data, snapshots, and spares for the next start.

    Each has `kind`, `name`, `size` (bytes), `last_used` (as `time.time()`) and `path`.

    Raises:
        ConfigError: `SERVICECTX_CACHE_SIZE` is no size.
    """
    return _cache().entries()


def clear_cache() -> list[Entry]:
    """Remove all of it; what there was. Safe at any time: who copies from it this moment does the work again.

    Raises:
        ConfigError: `SERVICECTX_CACHE_SIZE` is no size.
    """
    return _cache().clear()


def _cache() -> Cache:
    return Cache(paths.cache(), paths.cache_size())
