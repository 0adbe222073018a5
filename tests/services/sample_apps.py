"""Apps for the servers. Each stores texts under names, and reports its own state."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

texts: dict[str, bytes] = {}
requests: list[str] = []
together = threading.Barrier(2)


def about(path: str) -> bytes | None:
    match path:
        case "/about":
            state = {"pid": os.getpid(), "directory": os.getcwd(), "requests": requests, "path": sys.path}
            return json.dumps(state | {"variables": dict(os.environ)}).encode()
        case "/together":
            together.wait(20)
            return b"both are here"
        case "/aloud":
            print("a line of output")
            return b"printed"
        case "/argv":
            return json.dumps(sys.argv).encode()
        case "/third-time":
            return b"ready" if requests.count(path) > 2 else None
    return texts.get(path)


def answer(method: str, path: str, body: bytes) -> bytes | None:
    requests.append(path)
    if method == "PUT":
        texts[path] = body
        return b""
    return about(path)


async def asgi(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"{scope['path']} {message['text']}"})
    else:
        body = b""
        while (part := await receive())["type"] == "http.request":
            body += part["body"]
            if not part["more_body"]:
                break
        reply = answer(scope["method"], scope["path"], body)
        await send({"type": "http.response.start", "status": 404 if reply is None else 200, "headers": []})
        await send({"type": "http.response.body", "body": reply or b""})


async def lifespan(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
    await receive()
    if "FAIL_AT_STARTUP" in os.environ:
        await send({"type": "lifespan.startup.failed", "message": "LookupError: no database today"})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if "LAST_WORDS" in os.environ:
        with open(os.environ["LAST_WORDS"], "w") as file:
            file.write("bye")
    if "NEVER_END" in os.environ:
        await asyncio.Event().wait()
    await send({"type": "lifespan.shutdown.complete"})


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    reply = answer(environ["REQUEST_METHOD"], environ["PATH_INFO"], body)
    start_response("404 Not Found" if reply is None else "200 OK", [("Content-Length", str(len(reply or b"")))])
    return [reply or b""]


def make_asgi() -> Any:
    texts["/made"] = b"by a function"
    return asgi


def make_wsgi() -> Any:
    texts["/made"] = b"by a function"
    return wsgi
