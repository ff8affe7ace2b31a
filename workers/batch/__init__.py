"""Runs a finished model over a data set, without TensorFlow: the child of `predict` and `evaluate` jobs."""
