"""From a checkpoint to a pack: ONNX, its card, and the proof that it answers as the trained network."""
