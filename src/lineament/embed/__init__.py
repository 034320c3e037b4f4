"""Recognition networks: aligned crops in, templates out."""
