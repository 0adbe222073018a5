"""Functions to list and to clear the cache, as `servicectx cache` does."""

from servicectx.datadirs.cache import Cache, Entry
from servicectx.state import paths


def cache_entries() -> list[Entry]:
    """List the cache: prepared data, snapshots, and spares for the next start.

    Each entry has `kind`, `name`, `size` (bytes), `last_used` (as `time.time()`) and `path`, and for people `service`,
    `version`, `setup` and `project`.

    Raises:
        ConfigError: `SERVICECTX_CACHE_SIZE` is not a size.
    """
    return _cache().entries()


def clear_cache() -> list[Entry]:
    """Remove all entries and return them. Safe at any time: a start that is copying an entry repeats the work.

    Raises:
        ConfigError: `SERVICECTX_CACHE_SIZE` is not a size.
    """
    return _cache().clear()


def _cache() -> Cache:
    return Cache(paths.cache(), paths.cache_size())
