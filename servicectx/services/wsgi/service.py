"""A WSGI app, served by gunicorn or waitress: `managed("wsgi", app="package.module:app")`."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from servicectx.services import binaries, python_servers
from servicectx.services.web_app import App, AppOptions
from servicectx.services.wsgi.server import SERVERS


@dataclass(frozen=True, kw_only=True)
class WsgiOptions(AppOptions):
    """`server`: "gunicorn" or "waitress", by default the first of them that is installed."""

    server: Literal["gunicorn", "waitress"] | None = None


class Wsgi(App):
    """An app in the caller's working directory, environment and module search path: one process with 8 threads."""

    name: ClassVar[str] = "wsgi"
    Options: ClassVar[type] = WsgiOptions
    install: ClassVar[dict[str, str]] = {
        "pip": "pip install 'servicectx[wsgi]'",
        "apt": "apt-get install gunicorn  # SERVICECTX_WSGI_BIN: /usr/bin",
        "brew": "not in Homebrew; install it with pip, beside your app",
    }
    requirements: ClassVar[tuple[str, ...]] = ("gunicorn>=22", "httpx>=0.28")
    search = binaries.Search(service="wsgi", programs=("gunicorn", "waitress-serve"), install=tuple(install.items()))
    packages = SERVERS
    ours = ("bind", "listen", "host", "port", "sockets", "unix_socket", "post_worker_init", "reload", "daemon")

    def program(self, options: WsgiOptions) -> str:  # type: ignore[override]
        return python_servers.find(self.search, (options.server,) if options.server else SERVERS)

    def serving(self, options: WsgiOptions) -> tuple[str, dict[str, Any]]:
        arguments = {"app": options.app, "factory": options.factory, "server": options.server}
        extra = {"settings": dict(options.settings), "directory": "{dir}"}
        return "servicectx.services.wsgi.server:serve", arguments | extra
