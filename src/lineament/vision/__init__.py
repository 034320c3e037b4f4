"""Mathematics on arrays: decoding, alignment, boxes, suppression, quality."""
