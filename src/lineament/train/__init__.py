"""Training: heads, sampled class centres, backbones, and the loop that reads aloud.

Recipes are written with `lineament.train.recipe`, which needs no torch, and run by `lineament.train.loop`.
"""
