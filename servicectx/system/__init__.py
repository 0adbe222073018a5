"""Functions and limits of the operating system, independent of instances, state and services."""
