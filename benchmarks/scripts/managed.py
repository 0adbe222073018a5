"""servicectx: start an instance, then end it."""

import sys
import time

from servicectx import managed

with managed(sys.argv[1]):
    print("mark usable", time.monotonic())
print("mark left", time.monotonic())
