import os

import redis

with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
    print("visits:", client.incr("visits"))
