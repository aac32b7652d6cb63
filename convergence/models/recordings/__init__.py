"""Recorded responses: an animal, a subject, or a model of another framework, as a file of arrays."""
