"""Second moments of layers and pairs of layers, from which maps are fitted."""
