"""Runs moto's server, whose accounts are apart from each other. Called in a process of its own."""

import json
from collections.abc import Callable, Iterable
from typing import Any, cast

ACCOUNTS = "/moto-api/accounts/"  # GET: who made which; DELETE, with an account's id: forget all that is in it


def serve(listener: int) -> None:
    from moto import __version__ as version
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    def create(service: Any) -> Any:
        app = create_backend_app(service)
        if service == "s3":
            from moto.s3.models import s3_backends

            s3_backends.bucket_accounts = _Nobody()
        return app

    moto: Any = DomainDispatcherApplication(create)
    moto.debug = True  # as moto does

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(ACCOUNTS):
            return cast("Iterable[bytes]", moto(environ, start))
        if environ["REQUEST_METHOD"] == "DELETE":
            _forget(path.rpartition("/")[2])
        start("200 OK", [("Content-Type", "application/json"), ("moto-version", version)])
        return [json.dumps(_made()).encode()]

    make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler, fd=listener).serve_forever()


class _Nobody(dict[str, Any]):
    """Which account has a bucket: nobody's business. Otherwise a name that one has used would be taken for all, and
    each could read every other's.
    """

    def __setitem__(self, name: str, owner: Any) -> None:
        pass


def _made() -> dict[str, str]:
    """The accounts that namespaces are, and the names of the users that were made in them."""
    users = [kind for kind in list(_kinds()) if kind.service_name == "iam"]
    in_accounts = [(account, iam) for kind in users for account, _, iam in list(kind.iter_backends())]
    return {account: name for account, iam in in_accounts for name in list(iam.users) if name.startswith("sc_")}


def _forget(account: str) -> None:
    from moto.core.base_backend import backend_lock

    with backend_lock:
        for kind in _kinds():
            if account in kind:
                kind.pop(account).reset()


def _kinds() -> Any:
    """What moto keeps, a dict by accounts for each of AWS's services."""
    from moto.core import base_backend

    kept: Any = base_backend.BackendDict
    return kept._instances
