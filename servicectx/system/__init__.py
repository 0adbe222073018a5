"""What the operating system gives, and what it refuses: no instance, no state, no service is known here."""
