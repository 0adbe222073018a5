"""servicectx for behave: services on `context` for the run, a feature or a scenario, by a call or by a tag."""

from servicectx_behave._services import use_service, use_service_by_tag

__all__ = ["use_service", "use_service_by_tag"]
