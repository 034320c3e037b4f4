"""Policies on top of the pipeline: what a product decides, and what it leaves to people."""
