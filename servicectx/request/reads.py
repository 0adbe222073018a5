"""What the code of a function reads from its module: helpers, classes and constants, by name."""

import functools
from collections.abc import Iterator
from opcode import EXTENDED_ARG, opmap
from types import CodeType, FunctionType, ModuleType
from typing import Any

SIMPLE = (str, bytes, int, float, complex, bool, type(None), type(Ellipsis))
STORES = (opmap["STORE_GLOBAL"], opmap["DELETE_GLOBAL"])
LOAD_GLOBAL = opmap["LOAD_GLOBAL"]  # the lowest bit of its argument is a flag
# LOAD_NAME and its successor: in the body of a class inside a function.
NAMED = {LOAD_GLOBAL, *STORES, opmap["LOAD_NAME"], opmap.get("LOAD_FROM_DICT_OR_GLOBALS", LOAD_GLOBAL)}
CACHED = type(functools.cache(lambda: None))


def is_simple(value: Any) -> bool:
    """Whether `value` is a plain immutable value, or a tuple or frozenset of these."""
    kind = type(value)
    return kind in SIMPLE or (kind in (tuple, frozenset) and all(map(is_simple, value)))


def globals_of(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Names and values of the globals that the code of a function, with its inner functions, reads.

    Modules are left out, and names that the code itself assigns, because their values change when it runs.
    """
    for name in _names(function.__code__):
        if name in function.__globals__:
            value = function.__globals__[name]
            if not issubclass(type(value), ModuleType):
                yield name, value


@functools.lru_cache(1024)
def _names(outer: CodeType) -> list[str]:
    """The names of the globals that the code reads and does not assign, with those of its inner functions."""
    codes = [outer]
    read: dict[str, None] = {}
    assigned: set[str] = set()
    for code in codes:
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        for operation, name in _named_globals(code):
            if operation in STORES:
                assigned.add(name)
            else:
                read[name] = None
    return [name for name in read if name not in assigned and not name.startswith("__")]


def is_code(value: Any) -> bool:
    """Whether a global is a function, a class, or a function with a cache. Proxies are not asked: they may raise."""
    kind = type(value)
    return kind is FunctionType or issubclass(kind, type) or kind is CACHED


def _named_globals(code: CodeType) -> Iterator[tuple[int, str]]:
    """The instructions of the code that read, assign or delete a global, each with its name."""
    extended, instructions = 0, code.co_code
    for operation, low in zip(instructions[::2], instructions[1::2], strict=True):
        if operation in NAMED:
            argument = low | extended
            yield operation, code.co_names[argument >> 1 if operation == LOAD_GLOBAL else argument]
        extended = (low | extended) << 8 if operation == EXTENDED_ARG else 0
