"""Names that code with and without TensorFlow share."""

from typing import Literal

Task = Literal["classification", "multilabel", "regression"]

# The least probability that a logarithm is taken of, as in Keras' own losses.
EPSILON = 1e-7
