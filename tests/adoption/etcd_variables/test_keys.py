"""Host and port come from variables of the suite, as in the tests of etcd3. The server has no login."""

import base64
import json
import os
import urllib.request
from typing import Any

ENDPOINT = f"http://{os.environ['TEST_ETCD_HOST']}:{os.environ['TEST_ETCD_PORT']}"


def call(method: str, **fields: str) -> Any:
    body = {name: base64.b64encode(value.encode()).decode() for name, value in fields.items()}
    request = urllib.request.Request(f"{ENDPOINT}/v3/kv/{method}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_a_key_is_stored() -> None:
    call("put", key="colour", value="green")
    (pair,) = call("range", key="colour")["kvs"]
    assert base64.b64decode(pair["value"]) == b"green"
