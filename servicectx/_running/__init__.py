"""HOW a service runs: processes, no pydantic."""
