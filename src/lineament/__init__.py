"""Face recognition in the ArcFace family: two photographs in, a defensible answer out."""
