import time

asked = time.monotonic()
from servicectx import managed  # noqa: E402, F401  # this is what is timed; the package alone gives names lazily

imported = time.monotonic()
print("mark asked", asked)
print("mark imported", imported)
