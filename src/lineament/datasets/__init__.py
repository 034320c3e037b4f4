"""Readers of evaluation data: what lies in a file or folder, as names, labels and bytes."""
