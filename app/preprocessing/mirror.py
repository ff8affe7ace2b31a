# ruff: noqa: N806 — names end in their shape (see the key below)
"""Whether a mirrored image is another image of its class, or something that never occurs: told from the images.

A photograph of a dog is one of a dog in a mirror; a 2 is not a 2. Where left and right mean the same, what is different
between them averages out over the images of a class; what is left of it is the class's own, and mirrors would wash it
out. Edges are looked at beside brightness: a white 2 on black and a black one on white leave no mean, but one outline.

Shapes: N images, P pixels.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# Share of the difference between left and right that a class has in common, brightness: 0.08 to 0.27 of the ten digits
# of MNIST, 0.09 to 0.21 of ten hand signs.
MOST_COMMON: Final = 0.05
# Of fewer images a mean says nothing.
LEAST_IMAGES: Final = 12
MOST_IMAGES: Final = 400


def mirrors_fit(pixels: NDArray[Any], classes: NDArray[Any]) -> bool:
    """Return whether mirrored images (left and right exchanged) of (N, H, W, C) `pixels` would fit their classes (N,).

    False where there are too few images to tell.
    """
    grey = pixels.astype(np.float32).mean(axis=3)
    edges = np.abs(np.diff(grey, axis=1))[:, :, :-1] + np.abs(np.diff(grey, axis=2))[:, :-1, :]
    shares = []
    for label in np.unique(classes):
        index = np.flatnonzero(classes == label)[:MOST_IMAGES]
        if len(index) >= LEAST_IMAGES:
            shares += [_common_share(grey[index]), _common_share(edges[index])]
    return bool(shares) and max(shares) <= MOST_COMMON


def _common_share(images: NDArray[np.float32]) -> float:
    """The share of the odd part of images, left less right, that they have in common; 0 where there is none."""
    odd_NP = (images - images[:, :, ::-1]).reshape(len(images), -1)
    every = float((odd_NP**2).sum(axis=1).mean())
    if every == 0.0:
        return 0.0
    # The mean of N independent images has 1/N of their power by chance alone.
    mean = float((odd_NP.mean(axis=0) ** 2).sum())
    return max(0.0, (mean - every / len(images)) / every * len(images) / (len(images) - 1))
