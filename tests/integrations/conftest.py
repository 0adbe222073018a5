"""Sample projects are run by their frameworks, as their users start them, not collected here."""

collect_ignore_glob = ["*/sample/*", "orders/*"]
