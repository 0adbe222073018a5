"""The fingerprint of a callable: its name, its captured values and its code, equal in every process."""

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
    """The name of a callable and its captured values: bound arguments, the bound object, the closure.

    A lambda or a local function also includes its code, because its name is ambiguous.
    """
    return _text(function, code=False)


def coded(function: Any) -> str:
    """The text of `called`, and the code: of the callable, its class, and the functions of its module that it names."""
    return _text(function, code=True)


def source(function: Any) -> str:
    """The source file of a callable, or "" where it cannot be found."""
    if isinstance(function, functools.partial):
        return source(function.func)
    target = getattr(function, "__wrapped__", function)
    code = getattr(target, "__code__", None)
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    file: str = code.co_filename if code else getattr(module, "__file__", None) or ""
    return file if file[:1] in ("", "<") else os.path.abspath(file)  # "<string>": code without a file


def _text(function: Any, code: bool) -> str:
    try:
        return _Description(code).callable(function)
    except RecursionError:
        return _unique(function)


class _Description:
    """A description of values as text, without addresses of objects and without an order that differs by process."""

    def __init__(self, code: bool) -> None:
        self._code = code
        self._texts: dict[int, tuple[Any, str]] = {}  # the values stay referenced, so that no address is reused
        self._depth = 0

    def callable(self, value: Any) -> str:
        """The text of a set-up or a part of one. The code of its class is included, because it may call its methods."""
        if isinstance(value, functools.partial):
            return f"{self.callable(value.func)}({self.value(value.args)}, {self.value(value.keywords)})"
        if isinstance(value, MethodType):
            return f"{self.callable(value.__func__)} of {self.value(value.__self__)}{self._body(value.__self__)}"
        return self.value(value) + ("" if isinstance(value, FunctionType) else self._body(value))

    def value(self, value: Any) -> str:
        if type(value) in PLAIN:
            return _short(repr(value))
        if id(value) in self._texts:
            return self._texts[id(value)][1]
        self._texts[id(value)] = (value, f"#{self._depth}")  # the text for a reference to the value inside itself
        self._depth += 1
        text = self._describe(value)
        self._depth -= 1
        self._texts[id(value)] = (value, text)
        return text

    def _describe(self, value: Any) -> str:
        kind = type(value)
        if kind is tuple or kind is list:
            return kind.__name__ + _short(f"({', '.join(map(self.value, value))})")
        if kind is set or kind is frozenset:
            return kind.__name__ + _short(f"({', '.join(sorted(map(self.value, value)))})")
        if kind is dict or kind is MappingProxyType:
            items = (f"{self.value(name)}: {self.value(item)}" for name, item in value.items())
            return "dict" + _short(f"({', '.join(sorted(items))})")
        if kind is CellType:
            try:
                return self.value(value.cell_contents)
            except ValueError:  # the cell is still empty
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
        helpers = [self.value(helper) for helper in _helpers(value)] if self._code else []
        return f"{name}:{_hash(self.value(held) + ''.join(helpers))}"

    def _members(self, kind: type) -> str:
        """The hash of a class: its methods, its plain attributes and its bases."""
        texts = []
        for name, member in sorted(vars(kind).items()):
            if isinstance(member, staticmethod | classmethod):
                texts.append(f"{name}: {type(member).__name__} {self.value(member.__func__)}")
            elif isinstance(member, property):
                texts.append(f"{name}: {self.value((member.fget, member.fset, member.fdel))}")
            elif (isinstance(member, FunctionType) or type(member) in PLAIN) and name not in ("__module__", "__doc__"):
                texts.append(f"{name}: {self.value(member)}")
        return "{" + _hash(f"{', '.join(texts)}; {', '.join(map(self.value, kind.__bases__))}") + "}"

    def _body(self, value: Any) -> str:
        if not self._code:
            return ""
        kind = value if isinstance(value, type) else type(value)
        return _hash("".join(self._members(base) for base in kind.__mro__ if base.__module__ == kind.__module__))

    def _object(self, value: Any) -> str:
        """The text of an object from its pickled state: its class and the arguments that rebuild it."""
        kind = type(value)
        try:
            registered: Any = copyreg.dispatch_table.get(kind)
            reduced = registered(value) if registered else value.__reduce_ex__(4)
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001  # a class may raise anything; the object has no pickled state
            return f"{_name(kind)} {_unique(value)}"
        if isinstance(reduced, str):  # the name of a global of the module
            wrapped = getattr(value, "__wrapped__", None)
            return f"{_name(kind)} {getattr(value, '__module__', '')}:{reduced} {self.value(wrapped)}"
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        maker = "" if make is kind or make is vars(copyreg)["__newobj__"] else self.value(make)
        parts = (arguments, state, None if items is None else list(items), None if pairs is None else list(pairs))
        return f"{_name(kind)}{_short(maker + self.value(parts).removeprefix('tuple'))}"


def _helpers(function: FunctionType) -> Iterator[FunctionType]:
    """The functions of the same module that the code of a function names."""
    codes = [function.__code__]
    for code in codes:
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        for name in code.co_names:
            found = function.__globals__.get(name)
            if isinstance(found, FunctionType) and found.__module__ == function.__module__:
                yield found


def _name(value: Any) -> str:
    """The module and the qualified name of a function or a class."""
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
    """A text for an object without a description; no other object has it, in this process or another one."""
    identity = (os.getpid(), id(value))
    if identity not in _unlike:
        try:
            reference: Any = weakref.ref(value, lambda _: _unlike.pop(identity, None))
        except TypeError:
            reference = value  # a strong reference, so that its address is never reused
        _unlike[identity] = (reference, os.urandom(8).hex())
    return f"only {_unlike[identity][1]}"
