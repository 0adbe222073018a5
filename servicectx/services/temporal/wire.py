"""A part of Temporal's protocol, gRPC over HTTP/2 without TLS, for the probe and for namespaces."""

from typing import Any

from servicectx.system.originals import socket

WORKFLOWS = "/temporal.api.workflowservice.v1.WorkflowService/"
OPERATOR = "/temporal.api.operatorservice.v1.OperatorService/"

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_ROOM = (1 << 30).to_bytes(4)  # bytes; the initial flow control window


class Refused(Exception):
    """The server rejected a call. Its reason is in compressed headers, which are not decoded here."""


def is_usable(host: str, port: int, wait: float) -> dict[str, Any] | None:
    """A probe: whether the server accepts calls in its first namespace."""
    try:
        call(host, port, f"{WORKFLOWS}ListWorkflowExecutions", text(1, "default"), wait)
        reply = call(host, port, f"{WORKFLOWS}GetSystemInfo", wait=wait)
    except Refused:
        return None
    return {"version": reply[2 : 2 + reply[1]].decode()}


def call(host: str, port: int, method: str, message: bytes = b"", wait: float = 10.0) -> bytes:
    """The reply to one call, on a connection of its own. `wait`: seconds for each step.

    Raises:
        Refused: the reply has no message.
        OSError: there is no reply, or it does not follow the protocol.
    """
    headers = {":method": "POST", ":scheme": "http", ":path": method, ":authority": f"{host}:{port}"}
    headers |= {"content-type": "application/grpc", "te": "trailers"}
    head = b"".join(b"\0" + _sized(name.encode()) + _sized(value.encode()) for name, value in headers.items())
    with socket.create_connection((host, port), wait) as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + _frame(_SETTINGS, 0, b"\0\x04" + _ROOM, stream=0)
            + _frame(_WINDOW, 0, _ROOM, stream=0)
            + _frame(_HEADERS, _END_HEADERS, head)
            + _frame(_DATA, _END_STREAM, b"\0" + len(message).to_bytes(4) + message)
        )
        received, ended = b"", False
        with connection.makefile("rb") as stream:
            while not ended:
                kind, flags, body = _next(stream)
                if kind == _DATA:
                    received += body
                elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                    connection.sendall(_frame(kind, _ACK, body if kind == _PING else b"", stream=0))
                ended = kind in (_RESET, _GOAWAY) or (kind in (_DATA, _HEADERS) and bool(flags & _END_STREAM))
    if not received:
        raise Refused(method.rpartition("/")[2])
    return received[5:]


def text(number: int, value: str) -> bytes:
    """A text field of a message."""
    return nested(number, value.encode())


def nested(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _sized(value)


def count(number: int, value: int) -> bytes:
    return bytes([number << 3]) + _varint(value)


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def _sized(value: bytes) -> bytes:
    """A value with its length, which is one byte for short values, in HTTP/2 headers and in message fields."""
    assert len(value) < 127
    return bytes([len(value)]) + value


def _frame(kind: int, flags: int, body: bytes, stream: int = 1) -> bytes:
    return len(body).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + body


def _next(stream: Any) -> tuple[int, int, bytes]:
    head = stream.read(9)
    body = stream.read(int.from_bytes(head[:3]))
    if len(head) < 9 or len(body) < int.from_bytes(head[:3]):
        raise ConnectionError("the server closed the connection")
    return head[3], head[4], body
