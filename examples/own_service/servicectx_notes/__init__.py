"""Notes in notebooks: a small server, and a service for servicectx that runs it."""
