"""Services that a test class declares as attributes."""

import threading
import unittest
from typing import Any, Generic, TypeVar

from servicectx import Managed, ServiceCtxError, ServiceDetails, isolated
from servicectx_unittest._contexts import enterRunContext

D = TypeVar("D", bound=ServiceDetails)


class service(Generic[D]):
    """An attribute of a `ServiceTestCase` that gives the details of a service.

    It is there before the first test of the first class that has it, and until the end of the run; subclasses share
    it. A start or a set-up that failed is not tried again: every other class fails at once with the same error.

    Args:
        managed: what `servicectx.managed(...)` gave. It belongs to this attribute from now on.
        isolated: give each test a namespace of its own (a database cloned right after the set-up, a logical
            database ...), made when the test first reads the attribute and removed when the test is over.

    Raises:
        AttributeError: read before `setUpClass`.
        NotIsolable: read in a test, where `isolated` was asked for and the service has no namespaces.
    """

    def __init__(self, managed: Managed[D], *, isolated: bool = False) -> None:
        self._managed = managed
        self._isolated = isolated
        self._lock = threading.Lock()
        self._details: D | None = None
        self._failure: ServiceCtxError | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, test: unittest.TestCase | None, owner: type) -> D:
        if self._details is None:
            if test is None:
                return self  # type: ignore[return-value]  # whoever looks through classes for tests must not fail
            raise AttributeError(f"{self._name} is entered by ServiceTestCase.setUpClass: call super().setUpClass()")
        if test is None or not self._isolated:
            return self._details
        namespace = test.enterContext(isolated(self._details))
        test.__dict__[self._name] = namespace  # found before this descriptor, until the test is over
        test.addCleanup(test.__dict__.pop, self._name)
        return namespace

    def enter(self) -> None:
        """Start or join it, unless this process has it already; once more if it died since."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._details is not None and self._managed.alive:
                return
            self._managed.__exit__(None, None, None)
            try:
                self._details = enterRunContext(self._managed)
            except ServiceCtxError as failure:
                self._failure = failure
                raise


class ServiceTestCase(unittest.TestCase):
    """A test case with declared services; beside `unittest.IsolatedAsyncioTestCase` it comes first.

    A `setUpClass` of your own calls `super().setUpClass()`, and has the details afterwards.
    """

    @classmethod
    def setUpClass(cls) -> None:
        """Enter what this class and its bases declare. Raises what `managed(...)` raises on entering."""
        super().setUpClass()
        for name in dict.fromkeys(name for base in cls.__mro__ for name in vars(base)):
            declared = next(vars(base)[name] for base in cls.__mro__ if name in vars(base))
            if isinstance(declared, service):
                declared.enter()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Parallel runners pickle tests, and an asyncio test holds what cannot be pickled: make it anew over there."""
        if isinstance(self, unittest.IsolatedAsyncioTestCase):
            return type(self), (self._testMethodName,)
        return super().__reduce_ex__(protocol)
