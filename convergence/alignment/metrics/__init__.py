"""Maps from strict to flexible, and their scores. Tensors only: no config, no files, no models."""
