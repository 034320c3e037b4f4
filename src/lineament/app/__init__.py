"""A door for code written against `insightface.app`."""
