"""The documentation as web pages, and the pictures that programs make for it."""
