"""The parts of storms: rounds with random users and kills, and hazards that a round may contain."""
