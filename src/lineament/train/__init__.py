"""Training: heads, backbones, sampled class centres, and the loop that reads aloud."""
