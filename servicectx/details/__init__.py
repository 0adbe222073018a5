"""What a user gets: one model for each service, frozen, that says how to connect."""
