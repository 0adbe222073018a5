"""Run a WSGI app with gunicorn or waitress, in a process of its own."""

import pkgutil
import signal
import socket
import sys
from importlib.util import find_spec
from typing import Any

from servicectx.services.serving import find_modules_as_the_caller, report_serving

SERVERS = ("gunicorn", "waitress")


def serve(listener: int, app: str, factory: bool, server: str | None, settings: dict[str, Any], directory: str) -> None:
    chosen = server or next(name for name in SERVERS if find_spec(name))

    def load() -> Any:
        found = pkgutil.resolve_name(app)
        return found() if factory else found

    if chosen == "gunicorn":
        _gunicorn(listener, load, {"worker_tmp_dir": directory, **settings})
    else:
        _waitress(listener, load, settings)


def _gunicorn(listener: int, load: Any, settings: dict[str, Any]) -> None:
    import gunicorn.arbiter
    import gunicorn.glogging
    import gunicorn.workers.gthread  # noqa: F401  # before the user's app, which may shadow any module
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            ours = {"bind": f"fd://{listener}", "control_socket_disable": True}
            ours["post_worker_init"] = lambda _: report_serving()
            usual = {"worker_class": "gthread", "threads": 8, "accesslog": "-"}
            for name, value in {**usual, **settings, **ours}.items():
                if name in self.cfg.settings or name in settings:  # older versions have no control socket
                    self.cfg.set(name, value)

        def load(self) -> Any:
            return load()

    find_modules_as_the_caller()
    Application().run()


def _waitress(listener: int, load: Any, settings: dict[str, Any]) -> None:
    import waitress

    find_modules_as_the_caller()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    web_server = waitress.create_server(load(), sockets=[socket.socket(fileno=listener)], **{"threads": 8, **settings})
    report_serving()
    web_server.run()
