"""Brings the config of a Keras model of any version to the form that Keras 3 reads. Pure Python, no Keras."""
