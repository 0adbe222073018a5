"""servicectx for unittest: additions to the standard library's `enterContext` and related methods.

`managed()` and `isolated()` are context managers, so `cls.enterClassContext(managed("postgres"))` and
`self.enterContext(isolated(pg))` work without this package. The package adds services for a whole run, module contexts
that end under every runner, and services that a class declares, with a fresh namespace for each test.
"""

from servicectx_unittest._contexts import enterModuleContext, enterRunContext
from servicectx_unittest._declared import ServiceTestCase, service

__all__ = ["ServiceTestCase", "enterModuleContext", "enterRunContext", "service"]
