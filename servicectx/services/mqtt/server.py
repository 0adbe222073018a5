"""Run amqtt with one user on an inherited socket, in a process of its own."""

import os
import socket
from typing import Any


def serve(listener: int, user: str, secret: str | None, file: str, settings: dict[str, Any]) -> None:
    import asyncio
    import logging

    from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
    from amqtt.broker import Broker
    from pwdlib.hashers.argon2 import Argon2Hasher

    quick = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)  # cheapest; the password is short-lived
    with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as users:
        users.write(f"{user}:{quick.hash(secret)}\n" if secret else "")
    plugins: dict[str, Any] = {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": file}}
    if not secret:
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    ours = {"listeners": {"default": {"type": "external"}}, "plugins": plugins}

    async def run() -> None:
        broker = Broker({**settings, **ours})

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await broker.external_connected(StreamReaderAdapter(reader), StreamWriterAdapter(writer), "default")

        await broker.start()
        server = await asyncio.start_server(connected, sock=socket.socket(fileno=listener))
        await server.serve_forever()

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(run())
