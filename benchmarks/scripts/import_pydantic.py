import time

asked = time.monotonic()
from pydantic import BaseModel  # noqa: E402  # this is what is timed


class Model(BaseModel):
    host: str
    port: int


imported = time.monotonic()
print("mark asked", asked)
print("mark imported", imported)
