"""Attributions of an image's pixels as an image: red speaks for the answer, blue against it, white is neither."""

import base64
import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Of the strongest pixels a hundredth is cut off: one of them must not make all others pale.
_STRONGEST: Final = 0.99
_SMALLEST_SIDE: Final = 128


def heat_map(attributions: NDArray[np.float64]) -> str:
    """Return a PNG in base64 of attributions (H, W); small images are shown larger, pixel by pixel."""
    strength = np.abs(attributions)
    scale = float(np.quantile(strength, _STRONGEST)) or float(strength.max()) or 1.0
    shade = np.clip(attributions / scale, -1.0, 1.0)
    fade = 255.0 * (1.0 - np.abs(shade))
    red, blue = np.where(shade < 0, fade, 255.0), np.where(shade > 0, fade, 255.0)
    image = Image.fromarray(np.stack([red, fade, blue], axis=-1).round().astype(np.uint8))
    larger = max(1, -(-_SMALLEST_SIDE // max(attributions.shape)))
    sink = io.BytesIO()
    image.resize((image.width * larger, image.height * larger), Image.Resampling.NEAREST).save(sink, "PNG")
    return base64.b64encode(sink.getvalue()).decode()
