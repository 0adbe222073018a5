"""What the operating system gives to one process: descriptors, polling, signals, its interpreter. The lowest part."""
