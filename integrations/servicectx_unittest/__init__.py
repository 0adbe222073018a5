"""servicectx for unittest: what the standard library's `enterContext` and its kin leave open.

`managed()` and `isolated()` are context managers, so `cls.enterClassContext(managed("postgres"))` and
`self.enterContext(isolated(pg))` work as they are. This adds services for a whole run, modules that are left under
every runner, and services that a class declares, with a fresh namespace for each test.
"""

from servicectx_unittest._contexts import enterModuleContext, enterRunContext
from servicectx_unittest._declared import ServiceTestCase, service

__all__ = ["ServiceTestCase", "enterModuleContext", "enterRunContext", "service"]
