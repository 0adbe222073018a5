import os

from celery import Celery

app = Celery("jobs", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.broker_connection_retry_on_startup = True


@app.task
def add(one, other):
    return one + other


@app.task
def fail():
    raise ValueError("this job fails")


@app.task
def whereabouts():
    return os.getpid(), os.getppid()
