from redis import Redis


def test_jobs_come_out_in_order(connection: Redis) -> None:
    connection.rpush("jobs", "one", "two")
    assert [connection.lpop("jobs") for _ in range(3)] == [b"one", b"two", None]


def test_a_worker_waits_for_a_job(connection: Redis) -> None:
    assert connection.blpop(["jobs"], timeout=0.1) is None
    connection.rpush("jobs", "late")
    assert connection.blpop(["jobs"], timeout=5) == (b"jobs", b"late")
