"""Face detectors, one family per file."""
