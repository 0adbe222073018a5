"""The keeper's process: it starts one server, watches it and removes it. No pydantic here."""
