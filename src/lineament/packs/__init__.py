"""Model files: what they are, where they lie, how they get there."""
