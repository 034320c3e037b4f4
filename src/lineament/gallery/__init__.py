"""The gallery: enrolled people, found again by their faces; SQL is the truth, an index proposes."""
