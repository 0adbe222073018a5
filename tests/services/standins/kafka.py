"""Stands in for Apache Kafka: `kafka-storage.sh format` and `kafka-server-start.sh`, as far as a login and metadata."""

import re
import socketserver
import struct
import sys
from pathlib import Path

CLIENT = re.compile(r"^CLIENT://([\d.]+):(\d+),CONTROLLER://[\d.]+:\d+$")


def properties(path: str) -> dict[str, str]:
    lines = Path(path).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def text(said: str) -> bytes:
    return struct.pack(">h", len(said)) + said.encode()


class Broker(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        told = properties(sys.argv[2])
        found = re.search(r'username="(\w+)" password="(\w+)"', told["listener.name.client.plain.sasl.jaas.config"])
        assert found
        host, port = self.request.getsockname()
        inside = False
        while size := self.rfile.read(4):
            request = self.rfile.read(struct.unpack(">i", size)[0])
            kind, _, number, name = struct.unpack_from(">hhih", request)
            rest = request[10 + name :]
            if kind == 17:
                answer = struct.pack(">h", 0 if rest == text("PLAIN") else 33)
            elif kind == 36:
                inside = rest[4:] == f"\0{found[1]}\0{found[2]}".encode()
                answer = struct.pack(">hhi", 0 if inside else 58, -1, 0)
            elif inside and kind == 3:
                answer = struct.pack(">ii", 1, 1) + text(host) + struct.pack(">ihii", port, -1, 1, 0)
            else:
                return
            self.wfile.write(struct.pack(">ii", 4 + len(answer), number) + answer)


def main(command: str, *words: str) -> None:
    if command == "kafka-storage.sh":
        told = properties(words[words.index("--config") + 1])
        place = Path(told["log.dirs"])
        place.mkdir(exist_ok=True)
        (place / "meta.properties").write_text(f"cluster.id={words[words.index('--cluster-id') + 1]}\n")
        return
    told = properties(words[0])
    assert (Path(told["log.dirs"]) / "meta.properties").exists(), "format it first"
    if "no.such.setting" in told:
        raise SystemExit("org.apache.kafka.common.config.ConfigException: no.such.setting")
    found = CLIENT.match(told["listeners"])
    assert found
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer((found[1], int(found[2])), Broker) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
