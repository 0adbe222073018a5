"""Stands in for MongoDB's server: access control with SCRAM-SHA-256 and the localhost exception, and documents that are
stored, found by equality, and kept in one file when SIGTERM ends it.
"""

import argparse
import base64
import hashlib
import hmac
import os
import signal
import socketserver
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import bson

Document = dict[str, Any]
FREE = {"hello", "isMaster", "ismaster", "ping", "saslStart", "saslContinue", "buildInfo", "endSessions"}


class Failure(Exception):
    def __init__(self, code: int, problem: str) -> None:
        super().__init__(problem)
        self.answer = {"ok": 0.0, "code": code, "errmsg": problem}


class Store:
    def __init__(self, place: Path) -> None:
        self.file = place / "all.bson"
        kept = bson.decode(self.file.read_bytes()) if self.file.exists() else {}
        self.users: dict[str, str] = kept.get("users", {})
        self.databases: dict[str, dict[str, list[Document]]] = kept.get("databases", {})
        self.lock = threading.Lock()

    def keep(self) -> None:
        self.file.write_bytes(bson.encode({"users": self.users, "databases": self.databases}))


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")


class Session(socketserver.StreamRequestHandler):
    server: "Server"
    user: str | None = None

    def handle(self) -> None:
        while len(head := self.rfile.read(16)) == 16:
            size, number, _, code = struct.unpack("<4i", head)
            body = self.rfile.read(size - 16)
            if code == 2004:  # the first word of older clients
                command = bson.decode(body[body.index(b"\0", 4) + 9 :])
                said = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(self.answer(command))
                answered = 1
            else:
                said = struct.pack("<ib", 0, 0) + bson.encode(self.answer(_document(body)))
                answered = 2013
            self.wfile.write(struct.pack("<4i", len(said) + 16, 0, number, answered) + said)

    def answer(self, command: Document) -> Document:
        name = next(iter(command))
        store = self.server.store
        with store.lock:
            try:
                first = name == "createUser" and not store.users and self.client_address[0] == "127.0.0.1"
                if self.server.auth and name not in FREE and self.user is None and not first:
                    raise Failure(13, f"Command {name} requires authentication")
                return {**getattr(self, name)(store, command), "ok": 1.0}
            except Failure as failure:
                return failure.answer

    def hello(self, store: Store, command: Document) -> Document:
        said = {"helloOk": True, "isWritablePrimary": True, "ismaster": True, "minWireVersion": 0, "maxWireVersion": 21}
        known = command.get("saslSupportedMechs", "").removeprefix("admin.") in store.users
        return {**said, "saslSupportedMechs": ["SCRAM-SHA-256"]} if known else said

    isMaster = ismaster = hello

    def ping(self, store: Store, command: Document) -> Document:
        return {}

    endSessions = ping

    def buildInfo(self, store: Store, command: Document) -> Document:
        return {"version": "8.0.1", "versionArray": [8, 0, 1, 0]}

    def saslStart(self, store: Store, command: Document) -> Document:
        if command["mechanism"] != "SCRAM-SHA-256":
            raise Failure(18, "Authentication failed.")
        first = command["payload"].decode().removeprefix("n,,")
        parts = dict(part.split("=", 1) for part in first.split(","))
        user = parts["n"].replace("=2C", ",").replace("=3D", "=")
        if user not in store.users:
            raise Failure(18, "Authentication failed.")
        salt, nonce = os.urandom(16), parts["r"] + os.urandom(9).hex()
        challenge = f"r={nonce},s={base64.b64encode(salt).decode()},i=4096"
        self.talk = (user, salt, f"{first},{challenge},c=biws,r={nonce}")
        return {"conversationId": 1, "done": False, "payload": challenge.encode()}

    def saslContinue(self, store: Store, command: Document) -> Document:
        user, salt, signed = self.talk
        salted = hashlib.pbkdf2_hmac("sha256", store.users[user].encode(), salt, 4096)
        client = _hmac(salted, b"Client Key")
        seal = _hmac(hashlib.sha256(client).digest(), signed.encode())
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client, seal, strict=True))).decode()
        if not command["payload"].decode().endswith(f",p={proof}"):
            raise Failure(18, "Authentication failed.")
        self.user = user
        signature = base64.b64encode(_hmac(_hmac(salted, b"Server Key"), signed.encode())).decode()
        return {"conversationId": 1, "done": True, "payload": f"v={signature}".encode()}

    def createUser(self, store: Store, command: Document) -> Document:
        if command["createUser"] in store.users:
            raise Failure(51003, "User already exists")
        store.users[command["createUser"]] = command["pwd"]
        return {}

    def updateUser(self, store: Store, command: Document) -> Document:
        store.users[command["updateUser"]] = command["pwd"]
        return {}

    def getParameter(self, store: Store, command: Document) -> Document:
        return {name: value for name, value in self.server.parameters.items() if name in command}

    def listDatabases(self, store: Store, command: Document) -> Document:
        start = command.get("filter", {}).get("name", {}).get("$regex", "^")[1:]
        return {"databases": [{"name": name} for name in store.databases if name.startswith(start)]}

    def dropDatabase(self, store: Store, command: Document) -> Document:
        store.databases.pop(command["$db"], None)
        return {}

    def update(self, store: Store, command: Document) -> Document:
        rows = store.databases.setdefault(command["$db"], {}).setdefault(command["update"], [])
        for each in command["updates"]:
            assert each["upsert"]
            rows[:] = [row for row in rows if not each["q"].items() <= row.items()]
            rows.append({"_id": bson.ObjectId(), **each["q"], **each["u"]["$set"]})
        return {"n": len(command["updates"]), "nModified": 0}

    def insert(self, store: Store, command: Document) -> Document:
        rows = store.databases.setdefault(command["$db"], {}).setdefault(command["insert"], [])
        rows += command["documents"]
        return {"n": len(command["documents"])}

    def find(self, store: Store, command: Document) -> Document:
        rows = store.databases.get(command["$db"], {}).get(command["find"], [])
        found = [row for row in rows if command["filter"].items() <= row.items()]
        return {"cursor": {"id": 0, "ns": f"{command['$db']}.{command['find']}", "firstBatch": found}}


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    store: Store
    auth: bool
    parameters: dict[str, str]


def _document(body: bytes) -> Document:
    """Of one or more sections: a body, and lists of documents for one of its fields."""
    found: Document = {}
    place = 4
    while place < len(body) - 3:
        size = struct.unpack_from("<i", body, place + 1)[0]
        part = body[place + 1 : place + 1 + size]
        if body[place] == 0:
            found = {**bson.decode(part), **found}
        else:
            end = part.index(b"\0", 4)
            found[part[4:end].decode()] = bson.decode_all(part[end + 1 :])
        place += 1 + size
    return {name: found[name] for name in sorted(found, key=lambda name: isinstance(found[name], list))}


def main() -> None:
    parser = argparse.ArgumentParser(prog="mongod", allow_abbrev=False)
    parser.add_argument("--dbpath", type=Path, required=True)
    parser.add_argument("--bind_ip", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--setParameter", action="append", default=[])
    parser.add_argument("--nounixsocket", action="store_true", required=True)
    parser.add_argument("--auth", action="store_true")
    told = parser.parse_args()
    server = Server((told.bind_ip, told.port), Session)
    server.store = Store(told.dbpath)
    server.auth = told.auth
    server.parameters = dict(each.split("=", 1) for each in told.setParameter)
    for name in server.parameters:
        if name.startswith("no"):
            sys.exit(f"Error parsing command line: Unknown --setParameter '{name}'")

    def end(*_: object) -> None:
        server.store.keep()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    server.serve_forever()


if __name__ == "__main__":
    main()
