"""Services that a test class declares as attributes."""

import threading
import unittest
import weakref
from typing import Any, Generic, Literal, TypeVar

from servicectx import Managed, ServiceCtxError, ServiceDetails, isolated
from servicectx_unittest._contexts import enterRunContext

D = TypeVar("D", bound=ServiceDetails)


class service(Generic[D]):
    """An attribute of a `ServiceTestCase` that gives the details of a service.

    The service starts before the first test of the first class with this attribute, and stays until the end of the run;
    subclasses share it. A failed start or set-up is not tried again: every other class fails at once with that error.

    Args:
        managed: the result of `servicectx.managed(...)`. From now on it belongs to this attribute.
        isolated: True or "test" gives each test a namespace of its own (a database cloned right after the set-up, a
            logical database ...), created when the test first reads the attribute and removed when the test is over.
            "class" gives each class one namespace for all its tests, created by `setUpClass` and removed after
            `tearDownClass`.

    Raises:
        TypeError: `managed` has another type, such as the name of a service.
        ValueError: another attribute has the same `managed(...)` object, or `isolated` has another value.
        AttributeError: read before `setUpClass`, or in a class that is not a `ServiceTestCase`.
        NotIsolable: with `isolated` and a service without namespaces: read in a test, or by `setUpClass` for "class".
    """

    _name = "a service"

    def __init__(self, managed: Managed[D], *, isolated: bool | Literal["test", "class"] = False) -> None:
        _check(managed)
        if isolated not in (True, False, "test", "class"):
            raise ValueError(f'service(isolated={isolated!r}): write True or "test", "class", or False')
        self._managed = managed
        self._isolated = isolated
        self._of_classes: dict[type, D] = {}
        self._lock = threading.Lock()
        self._details: D | None = None
        self._failure: ServiceCtxError | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, test: unittest.TestCase | None, owner: type) -> D:
        if self._isolated == "class" and owner in self._of_classes:
            return self._of_classes[owner]
        if self._details is None or self._isolated == "class":
            if test is None:
                return self  # type: ignore[return-value]  # runners read all attributes of classes
            raise AttributeError(self._why_not_entered(type(test)))
        if test is None or not self._isolated:
            return self._details
        namespace = test.enterContext(isolated(self._details))
        test.__dict__[self._name] = namespace  # hides this descriptor until the test is over
        test.addCleanup(test.__dict__.pop, self._name)
        return namespace

    def __getattr__(self, attribute: str) -> Any:
        """Explain that this is a declaration, and not the details."""
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        problem = f"no {attribute!r} here: {self._name} is a declaration, service(...), and gives no details yet"
        raise AttributeError(f"{problem}; make it an attribute of a ServiceTestCase class, and read it in a test")

    def _why_not_entered(self, case: type) -> str:
        if issubclass(case, ServiceTestCase):
            return f"{self._name} is entered by ServiceTestCase.setUpClass: call super().setUpClass()"
        cure = f"write class {case.__name__}(ServiceTestCase), or mix it in before the other bases"
        return f"{self._name} is not entered: {case.__name__} is not a ServiceTestCase; {cure}"

    def enter_class(self, case: type[unittest.TestCase]) -> None:
        """Start or join the service; with `isolated="class"`, open the namespace of this class."""
        self.enter()
        if self._isolated == "class" and self._details is not None:
            self._of_classes[case] = case.enterClassContext(isolated(self._details))
            case.addClassCleanup(self._of_classes.pop, case)

    def enter(self) -> None:
        """Start or join the service, unless this process has it already; start it again if it died."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._details is not None and self._managed.alive:
                return
            if self._details is not None:  # its server died
                self._managed.__exit__(None, None, None)
                self._details = None
            try:
                self._details = enterRunContext(self._managed)
            except ServiceCtxError as failure:
                self._failure = failure
                raise


_declared: weakref.WeakSet[Managed[Any]] = weakref.WeakSet()


def _check(managed: Any) -> None:
    if not isinstance(managed, Managed):
        example = managed if isinstance(managed, str) else "redis"
        raise TypeError(f'service() takes managed(...), not {managed!r}: write service(managed("{example}"))')
    if managed in _declared:
        cure = "write managed(...) in each service(...): equal calls share one server"
        raise ValueError(f"{managed!r} belongs to another service(...) already; {cure}")
    _declared.add(managed)


class ServiceTestCase(unittest.TestCase):
    """A test case with declared services. Write this base before `unittest.IsolatedAsyncioTestCase`.

    A `setUpClass` of your own calls `super().setUpClass()` first; after that it can read the details.
    """

    @classmethod
    def setUpClass(cls) -> None:
        """Enter the services that this class and its bases declare. Raises the errors of entering `managed(...)`."""
        super().setUpClass()
        for name in dict.fromkeys(name for base in cls.__mro__ for name in vars(base)):
            declared = next(vars(base)[name] for base in cls.__mro__ if name in vars(base))
            if isinstance(declared, service):
                declared.enter_class(cls)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle an asyncio test by its name: parallel runners pickle tests, and its state cannot be pickled."""
        if isinstance(self, unittest.IsolatedAsyncioTestCase):
            return type(self), (self._testMethodName,)
        return super().__reduce_ex__(protocol)
