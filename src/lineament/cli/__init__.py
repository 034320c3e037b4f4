"""The `lineament` command: one file per verb."""

from lineament.cli.main import main as main
