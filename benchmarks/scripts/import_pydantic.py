import time

requested = time.monotonic()
from pydantic import BaseModel  # noqa: E402  # the timed import


class Model(BaseModel):
    host: str
    port: int


imported = time.monotonic()
print("mark requested", requested)
print("mark imported", imported)
