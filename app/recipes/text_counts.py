"""The arithmetic of the networks for text, as `workers/architectures/{ngrams,text_cnn}.py` build them."""

from collections.abc import Mapping
from typing import Any, Final

from app.recipes.estimate import Counts

# Different n-grams of words and characters, and tokens, of a text of a few sentences.
USUAL_NGRAMS: Final = 300
USUAL_TOKENS: Final = 40


def count_ngrams(architecture: Mapping[str, Any], size: int, outputs: int, batch_size: int) -> Counts:
    """Count the table of `size` n-grams: every number of it moves at every step, whatever a text has."""
    width = architecture["width"]
    parameters = size * (width or outputs) + outputs * (1 + (width or 0))
    values = USUAL_NGRAMS * (width or outputs)
    return Counts(parameters, values + parameters // batch_size, values, 8 * USUAL_NGRAMS)


def count_cnn(architecture: Mapping[str, Any], vocabulary: int, outputs: int) -> Counts:
    """Count the convolutional network for a text of usual length."""
    width, filters, sizes = architecture["embedding_width"], architecture["filters"], architecture["filter_widths"]
    tokens = min(USUAL_TOKENS, architecture["max_length"])
    weights = sum(sizes) * width * filters
    last = (len(sizes) * filters + 1) * outputs
    parameters = vocabulary * width + weights + len(sizes) * filters + last
    values = tokens * (width + 2 * len(sizes) * filters)
    return Counts(parameters, weights * tokens + last, values, 4 * tokens)
