"""A plugin of coverage.py that lets it measure keepers and prefetchers, too.

They start without `site`, where coverage.py would begin. In each measured process this plugin puts the begin of
coverage.py before the program of the keepers that the process starts.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

NAME = "servicectx.keeper.search_path"  # the module whose BEGIN is the start of each program without `site`
PLACES = [str(Path(__file__).parents[1]), str(Path(sys.modules["coverage"].__file__ or "").parents[1])]
BEGIN = (
    f"import sys; sys.path += {PLACES!r}; import coverage; coverage.process_startup(); "
    f"sys.path = [place for place in sys.path if place not in {PLACES!r}]; "
)


class _Measuring(Loader):
    """The loader of `search_path`, with the begin of coverage.py before the module's BEGIN."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._loader.exec_module(module)
        module.BEGIN = BEGIN + module.BEGIN

    def get_source(self, name: str) -> str | None:
        """The source for coverage.py, which reads it through the loader."""
        return getattr(self._loader, "get_source")(name)  # noqa: B009


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == NAME else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Measuring(spec.loader)
        return spec


def coverage_init(registry: object, options: object) -> None:
    """Called by coverage.py at its start in each process."""
    sys.meta_path.insert(0, _Finder())
