"""An ASGI app, served by uvicorn: `managed("asgi", app="package.module:app")`."""

from collections.abc import Mapping
from typing import Any, ClassVar

from servicectx.services import binaries, reasons
from servicectx.services.web_app import App, AppOptions


class Asgi(App):
    """An app in the caller's working directory, with the caller's environment and module search path."""

    name: ClassVar[str] = "asgi"
    Options: ClassVar[type] = AppOptions
    not_possible: ClassVar[Mapping[str, str]] = {**App.not_possible, "flavour": reasons.ONE_SERVER}
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[asgi]'",
        "apt": "apt-get install uvicorn  # SERVICECTX_ASGI_BIN: /usr/bin",
        "brew": "brew install uvicorn  # SERVICECTX_ASGI_BIN: $(brew --prefix uvicorn)/libexec/bin",
    }
    requirements: ClassVar[tuple[str, ...]] = ("uvicorn>=0.30", "httpx>=0.28", "websockets>=13")
    search = binaries.Search(service="asgi", programs=("uvicorn",), install=tuple(install.items()))
    packages = ("uvicorn",)
    ours = ("app", "factory", "host", "port", "uds", "fd", "reload", "workers")

    def serving(self, options: AppOptions) -> tuple[str, dict[str, Any]]:
        settings = {**options.settings, "factory": options.factory}
        return "servicectx.services.asgi.server:serve", {"app": options.app, "settings": settings}
