import time

asked = time.monotonic()
import servicectx  # noqa: E402, F401  # this is what is timed

imported = time.monotonic()
print("mark asked", asked)
print("mark imported", imported)
