"""`python -m servicectx` is the command `servicectx`."""

from servicectx.cli import main

if __name__ == "__main__":
    main()
