"""The fingerprint of a callable: its name, its captured values and its code, equal in every process.

It contains no path of the project, no line number, no address and no order that differs between processes.
"""

import contextlib
import contextvars
import copyreg
import functools
import hashlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable
from operator import itemgetter
from pathlib import PurePath
from types import CellType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

from servicectx.request.project import project
from servicectx.request.reads import SIMPLE, globals_of, is_code, is_simple

PROJECT = "<project>"  # in place of the project directory
DEEPEST = 100  # a value nested deeper counts by its type; each level takes up to 8 of the 1000 frames of a stack
NEAR = 6  # the same for a member of a set, counted from the set, where that set is below a member of another set
LONG = 100  # a longer text is hashed


def called(function: Any) -> str:
    """The name of a callable and its captured values: bound arguments, the bound object, the closure.

    A lambda or a local function also includes its code, because its name is ambiguous.
    """
    return _text(function, code=False)


def coded(function: Any) -> str:
    """The text of `called`, and the code: of the callable, of its class, and of its module as far as the code names it.

    A function of the module includes its own helpers in turn, a class its methods, and a constant of a simple type its
    value. Objects of the module count by their type, and code of other modules counts by its name.
    """
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
    """The text of a callable. Where the stack of the caller has too few frames left, a thread makes the same text."""
    root = _root()
    try:
        return _Description(code, root).callable(function)
    except RecursionError:
        texts: list[str] = []
        work = contextvars.copy_context().run
        thread = threading.Thread(target=work, args=(_describe_into, texts, function, code, root), daemon=True)
        thread.start()
        thread.join()
        if not texts:
            raise
        return texts[0]


def _describe_into(texts: list[str], function: Any, code: bool, root: str) -> None:
    with contextlib.suppress(RecursionError):  # the caller raises its own
        texts.append(_Description(code, root).callable(function))


def _root() -> str:
    """The project directory; paths in it are described relative to it. "" without one."""
    try:
        root = str(project())
    except FileNotFoundError:  # the working directory was removed
        return ""
    return "" if root == os.sep else root


class _Description:
    """A description of values as text, without addresses of objects and without an order that differs by process."""

    def __init__(self, code: bool, root: str) -> None:
        self._code = code
        self._root = root
        self._texts: dict[Any, tuple[Any, str]] = {}  # the values stay referenced, so that no address is reused
        self._depth = 0
        self._deepest = DEEPEST
        self._sets = 0  # how many sets the value is below

    def callable(self, value: Any) -> str:
        """The text of a set-up or a part of one. The code of its class is included, because it may call its methods."""
        if isinstance(value, functools.partial):
            return f"{self.callable(value.func)}({self.value(value.args)}, {self.value(value.keywords)})"
        if isinstance(value, MethodType):
            return f"{self.callable(value.__func__)} of {self.value(value.__self__)}{self._body(value.__self__)}"
        return self.value(value) + ("" if isinstance(value, FunctionType) else self._body(value))

    def value(self, value: Any) -> str:
        if type(value) in SIMPLE:
            return _short(repr(self._below_project(value) if type(value) is str else value))
        return self._once(id(value), value, self._describe)

    def _below_project(self, text: str) -> str:
        """The text without the path of the project, so that a checkout can move."""
        if not self._root or self._root not in text:
            return text
        return re.sub(f"{re.escape(self._root)}(?![\\w.-])", PROJECT, text)

    def _once(self, identity: Any, value: Any, describe: Callable[[Any], str]) -> str:
        """The text of a value, made once. Inside itself the value has the text of a reference."""
        if self._depth >= self._deepest:
            return _name(type(value))
        if identity not in self._texts:
            self._texts[identity] = (value, f"#{self._depth}")
            self._depth += 1
            self._texts[identity] = (value, describe(value))
            self._depth -= 1
        return self._texts[identity][1]

    def _describe(self, value: Any) -> str:
        kind = type(value)
        if kind is tuple or kind is list:
            return kind.__name__ + _short(f"({', '.join(map(self.value, value))})")
        if kind is set or kind is frozenset:
            return kind.__name__ + _short(f"({', '.join(sorted(self._unordered(value)))})")
        if kind is dict or kind is MappingProxyType:
            items = sorted(zip(self._unordered(value), value.values(), strict=True), key=itemgetter(0))
            return "dict" + _short(f"({', '.join(sorted(f'{name}: {self.value(item)}' for name, item in items))})")
        if kind is CellType:
            try:
                return self.value(value.cell_contents)
            except ValueError:  # the cell is still empty
                return "nothing"
        if kind is CodeType:
            return _code(value, self._root)
        if kind is FunctionType:
            return self._function(value)
        if isinstance(value, MethodType | functools.partial):
            return self.callable(value)
        if isinstance(value, type):
            return _name(value) + (self._members(value) if "<" in value.__qualname__ else "")
        if isinstance(value, PurePath):
            return f"{_name(kind)} {self.value(os.fspath(value))}"
        if isinstance(value, ModuleType):
            return f"module {value.__name__}"
        return self._object(value)

    def _unordered(self, members: Iterable[Any]) -> list[str]:
        """The texts of the members of a set, or of the keys of a dict. No text depends on the order of the members.

        Members that refer to each other have a text that depends on the texts already made. So each text is made from
        the same ones, and is forgotten after that. Without a limit the members of sets in members of sets would take a
        time exponential in their number.
        """
        deepest, known = self._deepest, len(self._texts)
        if self._sets:
            self._deepest = min(deepest, self._depth + NEAR)
        self._sets += 1
        texts = []
        for member in members:
            texts.append(self.value(member))
            while len(self._texts) > known:
                self._texts.popitem()
        self._sets -= 1
        self._deepest = deepest
        return texts

    def _function(self, value: FunctionType) -> str:
        name = _name(value)
        named = "<" not in name and value.__code__.co_qualname == value.__qualname__
        if named and not self._code:
            return name
        held = (value.__code__, value.__defaults__, value.__kwdefaults__, value.__closure__, value.__dict__)
        read = [f"{name}={self._global(item, value)}" for name, item in globals_of(value)] if self._code else []
        return f"{name}:{_hash(self.value(held) + ', '.join(read))}"

    def _global(self, value: Any, reader: FunctionType) -> str:
        """The text of a global that a function reads: in full only if it cannot change without a change of the code."""
        if is_simple(value):
            return self.value(value)
        if type(value) is functools.partial:
            return self.callable(value)
        if not is_code(value):
            return _name(type(value))
        if getattr(value, "__module__", None) != reader.__module__:
            return _name(value)
        return self.value(value) + (self._body(value) if isinstance(value, type) else "")

    def _members(self, kind: type) -> str:
        """The hash of a class: its methods, its attributes of simple types and its bases."""
        return self._once(("members", id(kind)), kind, self._all_members)

    def _all_members(self, kind: type) -> str:
        texts = []
        for name, member in sorted(vars(kind).items()):
            if isinstance(member, staticmethod | classmethod):
                texts.append(f"{name}: {type(member).__name__} {self.value(member.__func__)}")
            elif isinstance(member, property):
                texts.append(f"{name}: {self.value((member.fget, member.fset, member.fdel))}")
            elif isinstance(member, FunctionType) or (is_simple(member) and not name.startswith("__")):
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
            return _name(kind)
        if isinstance(reduced, str):  # the name of a global of the module
            wrapped = getattr(value, "__wrapped__", None)
            return f"{_name(kind)} {getattr(value, '__module__', '')}:{reduced} {self.value(wrapped)}"
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        own: Any = kind.__reduce__
        if own in (set.__reduce__, frozenset.__reduce__):  # the arguments are a list in any order
            arguments = (frozenset(value),)
        maker = "" if make is kind or make is vars(copyreg)["__newobj__"] else self.value(make)
        parts = (arguments, state, None if items is None else list(items), None if pairs is None else list(pairs))
        return f"{_name(kind)}{_short(maker + self.value(parts).removeprefix('tuple'))}"


@functools.lru_cache(1024)
def _code(code: CodeType, root: str) -> str:
    """The text of a code object, which never changes."""
    return f"code{_Description(code=True, root=root).value(_parts(code))}"


def _parts(code: CodeType) -> tuple[Any, ...]:
    """What a code object does, without its file and its lines. Names of arguments count: a partial may use them."""
    arguments = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    signature = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_varnames[:arguments])
    return (code.co_code, code.co_names, code.co_consts, code.co_exceptiontable, signature, code.co_flags)


def _name(value: Any) -> str:
    """The module and the qualified name of a function or a class."""
    module = value.__module__
    if module == "__main__":
        module = os.path.basename(getattr(sys.modules["__main__"], "__file__", None) or "") or "__main__"
    return f"{module}:{value.__qualname__}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _short(text: str) -> str:
    return text if len(text) <= LONG else f"~{_hash(text)}"
