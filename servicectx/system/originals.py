"""Parts of the standard library as they were when this package was imported, for this package alone.

Tests patch the standard library: they forbid sockets, freeze the clock, make `open` or `json.loads` a mock. These
patches are attributes of the standard modules, and must not affect the code that starts, joins and leaves services in
the same process. So modules that run in a caller's process write

    from servicectx.system.originals import json, open, select, socket, time

and get private copies of these modules. A copy is not a module, because pyfakefs and freezegun search modules.
"""

import _io
import _socket
import builtins
import json as _json
import select as _select
import socket as _socket_module
import time as _time
from functools import partial
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import json as json
    import select as select
    import socket as socket
    import time as time

    open = builtins.open

__all__ = ["json", "open", "select", "socket", "time"]


def _copy(module: Any, **replaced: Any) -> Any:
    """A copy of a module's namespace, in which its functions call each other."""
    copy = SimpleNamespace(**vars(module))
    for name, value in vars(module).items():
        if isinstance(value, FunctionType) and value.__globals__ is vars(module):
            function = FunctionType(value.__code__, vars(copy), name, value.__defaults__, value.__closure__)
            function.__kwdefaults__ = value.__kwdefaults__
            setattr(copy, name, function)
    vars(copy).update(replaced)
    return copy


def _socket_class() -> Any:
    """A subclass of the class `socket`, with methods that patches of that class do not change.

    Where sockets are already forbidden, the base is the first class of the module `socket` below the forbidding one.
    """
    found: Any = _socket_module.socket
    original = next((kind for kind in getattr(found, "__mro__", ()) if kind.__module__ == "socket"), None)
    if original is None:  # the class of an event loop that patched the module (gevent, eventlet)
        return found
    kept = {**vars(_socket.socket), **vars(original)}
    names = [name for name, value in kept.items() if callable(value) and not name.startswith("__")]

    def accept(self: Any) -> tuple[Any, Any]:
        descriptor, address = _socket.socket._accept(self)  # type: ignore[attr-defined]
        accepted = made(self.family, self.type, self.proto, fileno=descriptor)
        accepted.settimeout(None)
        return accepted, address

    body = {"__slots__": (), **{name: kept[name] for name in names}, "accept": accept}
    made: Any = type("socket", (original,), body)
    return made


def _connect(address: tuple[str, int], timeout: float | None = None, source: Any = None) -> Any:
    """As `socket.create_connection`, without look-ups of names in the module."""
    host, port = address
    failure = OSError(f"{host} has no address")
    name = host.encode() if host.isascii() else host  # a text goes through the codec for international names
    for family, kind, protocol, _, resolved in _socket.getaddrinfo(name, port, 0, _socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(timeout)
            if source:
                connection.bind(source)
            connection.connect(resolved)
            return connection
        except OSError as error:
            connection.close()
            failure = error
    raise failure


if not TYPE_CHECKING:
    json = _copy(_json)
    select = _copy(_select)
    socket = _copy(_socket_module, socket=_socket_class(), create_connection=_connect, getaddrinfo=_socket.getaddrinfo)
    # clock_gettime, because time-machine and freezegun may be active before the import of this package.
    time = _copy(
        _time,
        monotonic=partial(_time.clock_gettime, _time.CLOCK_MONOTONIC),
        time=partial(_time.clock_gettime, _time.CLOCK_REALTIME),
    )
    open = _io.open
