"""A joiner of a busy or stopped server waits until its own time-out."""

import os
import signal
import threading
import time

import pytest

import servicectx
from tests.servers import owner

BUSY = 8.0  # seconds; longer than the limit for a server without users


@pytest.mark.parametrize("joins", [True, False])
def test_a_joiner_waits_until_its_own_deadline(joins: bool) -> None:
    with servicectx.managed("redis") as details:
        server = owner(details.port).pid
        os.kill(server, signal.SIGSTOP)
        timer = threading.Timer(BUSY, os.kill, (server, signal.SIGCONT))
        timer.start()
        began = time.monotonic()
        try:
            if joins:
                with servicectx.managed("redis", timeout=60) as again:
                    assert again.port == details.port
                assert time.monotonic() - began > BUSY - 0.5
            else:
                with pytest.raises(servicectx.StartTimeout, match=r"within 2 s") as raised:
                    servicectx.managed("redis", timeout=2).__enter__()
                waited = time.monotonic() - began
                assert 2 <= waited < BUSY
                assert raised.value.waited == pytest.approx(waited, abs=0.5)
                assert str(os.getpid()) in str(raised.value)
        finally:
            os.kill(server, signal.SIGCONT)
            timer.join()


def test_a_joiner_of_a_server_that_executes_a_slow_command_waits() -> None:
    import redis

    with servicectx.managed("redis") as details:
        client = redis.Redis.from_url(details.url, socket_timeout=60)
        busy = threading.Thread(target=client.eval, args=(SLOW, 0))
        busy.start()
        time.sleep(0.1)
        with servicectx.managed("redis", timeout=60) as again:
            assert again.port == details.port
        busy.join()
        client.close()


SLOW = """
local ended = tonumber(redis.call('TIME')[1]) + 7
while tonumber(redis.call('TIME')[1]) < ended do end
return 1
"""
