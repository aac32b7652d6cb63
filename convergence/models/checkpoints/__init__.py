"""The user's own weights, in the shapes that people have them in."""
