"""The `lineament` command: one file per verb."""
