import os

import pytest


def test_a_job_is_done(jobs):
    assert jobs.add.delay(2, 3).get(timeout=10) == 5


def test_jobs_are_done_elsewhere(jobs):
    assert os.getpid() not in jobs.whereabouts.delay().get(timeout=10)


def test_a_failure_comes_back(jobs):
    with pytest.raises(ValueError, match="this job fails"):
        jobs.fail.delay().get(timeout=10)


def test_many_jobs(jobs):
    results = [jobs.add.delay(number, 1) for number in range(50)]
    assert [result.get(timeout=10) for result in results] == list(range(1, 51))
