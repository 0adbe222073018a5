import os
import sys

import pytest


@pytest.fixture(scope="session")
def broker(managed_service):
    redis = managed_service("redis", name="broker")
    os.environ.update(redis.env())  # jobs.py reads REDIS_URL when it is imported
    return redis


@pytest.fixture(scope="session")
def worker(managed_service, broker):
    return managed_service(
        "command",
        name="worker",
        command=[sys.executable, "-m", "celery", "-A", "jobs", "worker", "--concurrency", "2", "--loglevel", "INFO"],
        env=broker.env(),
        ready="log:celery@.* ready",
    )


@pytest.fixture
def jobs(worker):
    import jobs

    return jobs
