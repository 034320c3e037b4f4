"""Landmarks, pose, gender and age, for packs that hold such networks."""
