"""The caller's process: join a running instance, or start one."""
