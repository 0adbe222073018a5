"""A program: `python -P -u launcher.py ORDER SOCKET` calls what the order names, with the socket's descriptor."""

import json
import os
import pkgutil
import sys
from pathlib import Path

if __name__ == "__main__":
    file, descriptor = sys.argv[1:]
    del sys.argv[1:]
    order = json.loads(Path(file).read_text(encoding="utf-8"))
    sys.path[:] = order["path"] or [order["here"], *sys.path, str(Path(__file__).parents[2])]
    os.set_inheritable(int(descriptor), False)
    pkgutil.resolve_name(order["target"])(int(descriptor), **order["arguments"])
