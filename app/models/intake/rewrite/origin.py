"""Tells which Keras wrote a config."""

import json
import re
from typing import Any

from app.models.intake.rewrite.change import Origin

# Arguments that only Keras 1 wrote.
_KERAS1_ALONE = re.compile(r'"(nb_filter|border_mode|dim_ordering|inner_activation|W_regularizer|nb_row|subsample)":')


def origin_of(config: Any, keras_version: str, backend: str) -> Origin:
    """Return where a config comes from: by the version that the file says, else by its form."""
    matched = re.match(r"(\d+)\.", keras_version)
    if matched:
        major = int(matched.group(1))
        # tf.keras of TensorFlow 1 and 2 counted on from 2; whatever is later than 3 is read as 3.
        return Origin(min(max(major, 1), 3), backend or "tensorflow")
    text = json.dumps(config)
    if _KERAS1_ALONE.search(text):
        return Origin(1, backend or "tensorflow")
    is_keras3 = '"batch_shape":' in text or '"__keras_tensor__"' in text or '"DTypePolicy"' in text
    return Origin(3 if is_keras3 else 2, backend or "tensorflow")
