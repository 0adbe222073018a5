"""What a callable is known by: its name, what it holds, and its code; the same in every process that has the same."""

import copyreg
import functools
import hashlib
import os
import sys
import weakref
from collections.abc import Iterator
from types import CellType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

PLAIN = (str, bytes, int, float, complex, bool, type(None), type(Ellipsis))
LONG = 100  # a longer text is hashed


def called(function: Any) -> str:
    """A callable's name, and what it holds besides: arguments, the object it is bound to, what it closes over.

    A lambda or a local function is known by its code, too: its name says too little.
    """
    return _text(function, code=False)


def coded(function: Any) -> str:
    """Its name, what it holds, and the code: its own, that of its class, and of functions of its module it names."""
    return _text(function, code=True)


def source(function: Any) -> str:
    """The file that a callable's code stands in, as far as that can be told."""
    if isinstance(function, functools.partial):
        return source(function.func)
    target = getattr(function, "__wrapped__", function)
    code = getattr(target, "__code__", None)
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    file: str = code.co_filename if code else getattr(module, "__file__", None) or ""
    return file if file[:1] in ("", "<") else os.path.abspath(file)  # "<string>": it came from no file


def _text(function: Any, code: bool) -> str:
    try:
        return _Description(code).callable(function)
    except RecursionError:
        return _unique(function)


class _Description:
    """Tells values as text. An object's address must not get in, nor an order that differs between processes."""

    def __init__(self, code: bool) -> None:
        self._code = code
        self._told: dict[int, tuple[Any, str]] = {}  # with the values: an address may come again
        self._depth = 0

    def callable(self, value: Any) -> str:
        """A set-up, or a part of one: in the code of its class are the methods that it calls."""
        if isinstance(value, functools.partial):
            return f"{self.callable(value.func)}({self.value(value.args)}, {self.value(value.keywords)})"
        if isinstance(value, MethodType):
            return f"{self.callable(value.__func__)} of {self.value(value.__self__)}{self._body(value.__self__)}"
        return self.value(value) + ("" if isinstance(value, FunctionType) else self._body(value))

    def value(self, value: Any) -> str:
        if type(value) in PLAIN:
            return _short(repr(value))
        if id(value) in self._told:
            return self._told[id(value)][1]
        self._told[id(value)] = (value, f"#{self._depth}")  # what stands for it within itself
        self._depth += 1
        text = self._tell(value)
        self._depth -= 1
        self._told[id(value)] = (value, text)
        return text

    def _tell(self, value: Any) -> str:
        kind = type(value)
        if kind is tuple or kind is list:
            return kind.__name__ + _short(f"({', '.join(map(self.value, value))})")
        if kind is set or kind is frozenset:
            return kind.__name__ + _short(f"({', '.join(sorted(map(self.value, value)))})")
        if kind is dict or kind is MappingProxyType:
            items = (f"{self.value(name)}: {self.value(each)}" for name, each in value.items())
            return "dict" + _short(f"({', '.join(sorted(items))})")
        if kind is CellType:
            try:
                return self.value(value.cell_contents)
            except ValueError:  # nothing in it yet
                return "nothing"
        if kind is CodeType:
            parts = (value.co_code, value.co_names, value.co_consts, value.co_exceptiontable)
            return f"code{self.value(parts)}"
        if kind is FunctionType:
            return self._function(value)
        if isinstance(value, MethodType | functools.partial):
            return self.callable(value)
        if isinstance(value, type):
            return _name(value) + (self._members(value) if "<" in value.__qualname__ else "")
        if isinstance(value, ModuleType):
            return f"module {value.__name__}"
        return self._object(value)

    def _function(self, value: FunctionType) -> str:
        name = _name(value)
        named = "<" not in name and value.__code__.co_qualname == value.__qualname__
        if named and not self._code:
            return name
        held = (value.__code__, value.__defaults__, value.__kwdefaults__, value.__closure__, value.__dict__)
        helpers = [self.value(each) for each in _helpers(value)] if self._code else []
        return f"{name}:{_hash(self.value(held) + ''.join(helpers))}"

    def _members(self, kind: type) -> str:
        """What a class does: its methods, and its plain attributes."""
        told = []
        for name, each in sorted(vars(kind).items()):
            if isinstance(each, staticmethod | classmethod):
                told.append(f"{name}: {type(each).__name__} {self.value(each.__func__)}")
            elif isinstance(each, property):
                told.append(f"{name}: {self.value((each.fget, each.fset, each.fdel))}")
            elif (isinstance(each, FunctionType) or type(each) in PLAIN) and name not in ("__module__", "__doc__"):
                told.append(f"{name}: {self.value(each)}")
        return "{" + _hash(f"{', '.join(told)}; {', '.join(map(self.value, kind.__bases__))}") + "}"

    def _body(self, value: Any) -> str:
        if not self._code:
            return ""
        kind = value if isinstance(value, type) else type(value)
        return _hash("".join(self._members(each) for each in kind.__mro__ if each.__module__ == kind.__module__))

    def _object(self, value: Any) -> str:
        """As pickling would: a class and what makes one that is equal. Not all objects can tell that."""
        kind = type(value)
        try:
            registered: Any = copyreg.dispatch_table.get(kind)
            reduced = registered(value) if registered else value.__reduce_ex__(4)
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001  # whatever its class raises, it cannot be told
            return f"{_name(kind)} {_unique(value)}"
        if isinstance(reduced, str):  # a name in its module
            wrapped = getattr(value, "__wrapped__", None)
            return f"{_name(kind)} {getattr(value, '__module__', '')}:{reduced} {self.value(wrapped)}"
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        maker = "" if make is kind or make is vars(copyreg)["__newobj__"] else self.value(make)
        parts = (arguments, state, None if items is None else list(items), None if pairs is None else list(pairs))
        return f"{_name(kind)}{_short(maker + self.value(parts).removeprefix('tuple'))}"


def _helpers(function: FunctionType) -> Iterator[FunctionType]:
    """The functions of its own module that a function's code names."""
    codes = [function.__code__]
    for code in codes:
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
        for name in code.co_names:
            found = function.__globals__.get(name)
            if isinstance(found, FunctionType) and found.__module__ == function.__module__:
                yield found


def _name(value: Any) -> str:
    """Of a function or a class: where it is from, and its name there."""
    module = value.__module__
    if module == "__main__":
        module = os.path.abspath(getattr(sys.modules["__main__"], "__file__", None) or "")
    return f"{module}:{value.__qualname__}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _short(text: str) -> str:
    return text if len(text) <= LONG else f"~{_hash(text)}"


_unlike: dict[tuple[int, int], tuple[Any, str]] = {}


def _unique(value: Any) -> str:
    """For what cannot be told: a text that no other object has, here or in another process."""
    place = (os.getpid(), id(value))
    if place not in _unlike:
        try:
            kept: Any = weakref.ref(value, lambda _: _unlike.pop(place, None))
        except TypeError:
            kept = value  # so that its address never comes again
        _unlike[place] = (kept, os.urandom(8).hex())
    return f"only {_unlike[place][1]}"
