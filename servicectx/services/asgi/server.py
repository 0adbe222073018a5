"""Run an ASGI app with uvicorn, in a process of its own."""

import socket
import sys
from typing import Any

from servicectx.services.serving import find_modules_as_the_caller, report_serving


def serve(listener: int, app: str, settings: dict[str, Any]) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                report_serving()

    uvicorn.Config(_nothing, log_config=None).load()  # imports all modules of uvicorn before the user's app
    find_modules_as_the_caller()
    server = Server(uvicorn.Config(app, **settings))
    server.run(sockets=[socket.socket(fileno=listener)])
    if not server.started:
        sys.exit("the app did not start")


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """A placeholder app. uvicorn would call an app without these three parameters as a factory."""
