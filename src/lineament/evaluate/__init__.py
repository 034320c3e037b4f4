"""Protocols: who is compared with whom, what is counted, and what may be claimed from it."""
