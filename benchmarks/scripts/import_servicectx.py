import time

requested = time.monotonic()
from servicectx import managed  # noqa: E402, F401  # the timed import; the package loads its names lazily

imported = time.monotonic()
print("mark requested", requested)
print("mark imported", imported)
