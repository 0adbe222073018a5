"""One process joins an instance that another process holds. An earlier join of a second instance did the imports."""

import os
import sys
import time


def hold(service: str) -> None:
    """Hold both instances in a child until the parent closes its end."""
    from servicectx import managed

    with managed(service), managed(service, name="other"):
        os.write(up, b"!")
        os.read(released, 1)
    os._exit(0)


done, up = os.pipe()
released, release = os.pipe()
if not (holder := os.fork()):
    os.close(release)
    hold(sys.argv[1])
os.read(done, 1)

from servicectx import managed  # noqa: E402  # after the fork: the two share nothing

with managed(sys.argv[1], name="other"):
    pass
user = managed(sys.argv[1])
requested = time.monotonic()
user.__enter__()
joined = time.monotonic()
user.__exit__()
left = time.monotonic()
assert user.joined
os.close(release)
os.waitpid(holder, 0)
for name, at in {"requested": requested, "joined": joined, "leaving": joined, "left": left}.items():
    print("mark", name, at)
