"""One seam over the inference engines."""
