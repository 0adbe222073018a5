"""Run moto's server with separate accounts, in a process of its own."""

import json
from collections.abc import Callable, Iterable
from typing import Any, cast

ACCOUNTS = "/moto-api/accounts/"  # GET: each account and its owner; DELETE, with an id: empty an account


def serve(listener: int) -> None:
    from moto import __version__ as version
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    def create(service: Any) -> Any:
        app = create_backend_app(service)
        if service == "s3":
            from moto.s3.models import s3_backends

            s3_backends.bucket_accounts = _NoOwners()
        return app

    moto: Any = DomainDispatcherApplication(create)
    moto.debug = True  # as in moto's own server

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(ACCOUNTS):
            return cast("Iterable[bytes]", moto(environ, start))
        if environ["REQUEST_METHOD"] == "DELETE":
            _remove(path.rpartition("/")[2])
        start("200 OK", [("Content-Type", "application/json"), ("moto-version", version)])
        return [json.dumps(_owners()).encode()]

    make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler, fd=listener).serve_forever()


class _NoOwners(dict[str, Any]):
    """A map from bucket names to accounts that stays empty. A filled map would make names unique across accounts, and
    let each account read the buckets of all others.
    """

    def __setitem__(self, name: str, owner: Any) -> None:
        pass


def _owners() -> dict[str, str]:
    """The accounts of namespaces, and the name of the user in each."""
    users = [kind for kind in list(_kinds()) if kind.service_name == "iam"]
    in_accounts = [(account, iam) for kind in users for account, _, iam in list(kind.iter_backends())]
    return {account: name for account, iam in in_accounts for name in list(iam.users) if name.startswith("sc_")}


def _remove(account: str) -> None:
    from moto.core.base_backend import backend_lock

    with backend_lock:
        for kind in _kinds():
            if account in kind:
                kind.pop(account).reset()


def _kinds() -> Any:
    """The state of moto: for each AWS service a dict by account."""
    from moto.core import base_backend

    backends: Any = base_backend.BackendDict
    return backends._instances
