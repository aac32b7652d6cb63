"""One pass with hooks: a layer's responses, their units, and the cache."""
