"""The story: picture, faces, templates, verdict."""
