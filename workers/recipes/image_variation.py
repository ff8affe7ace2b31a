# ruff: noqa: N803, N806 — names end in their shape (see the key below)
"""Augmentation of image batches as one TensorFlow function, drawn from a key: the same key, the same images.

Everything that moves pixels is one affine map and one interpolation; then colours, a window that is erased, and another
image mixed in (mixup: Zhang et al. 2018; CutMix: Yun et al. 2019). Pixels are scaled already; `low` and `high` are what
black and white became.

Shapes: B images of a batch, H height, W width, C channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from app.preprocessing.images import INPUT, InputScale
from workers.recipes.built import Tensors, Varied

WHITE = 255.0


@dataclass(frozen=True)
class Variation:
    """`params.augmentation` with every field set, ready to be applied; `mirrors`: what `auto` has been decided to."""

    fields: Mapping[str, Any]
    mirrors: bool
    low: float
    high: float

    def __call__(self, inputs: Tensors, key: Any) -> Varied:
        """Return the batch as it is trained on; see `Built.vary`."""
        draw = _Draws(key, tf.shape(inputs[INPUT])[0])
        x_BHWC = self._move(inputs[INPUT], draw)
        x_BHWC = self._colour(x_BHWC, draw)
        x_BHWC = self._erase(x_BHWC, draw)
        return self._mix(x_BHWC, draw)

    def _move(self, x_BHWC: Any, draw: "_Draws") -> Any:
        fields = self.fields
        moves = [fields["shift"], fields["rotation"], fields["zoom"], self.mirrors, fields["flip_vertical"]]
        if not any(moves):
            return x_BHWC
        height, width = x_BHWC.shape[1], x_BHWC.shape[2]
        angle = draw.around(0.0, fields["rotation"] * 3.141592653589793 / 180)
        size = tf.exp(draw.around(0.0, fields["zoom"]))
        mirror_x = draw.sign() if self.mirrors else tf.ones_like(angle)
        mirror_y = draw.sign() if fields["flip_vertical"] else tf.ones_like(angle)
        shift_x = draw.around(0.0, fields["shift"] * width)
        shift_y = draw.around(0.0, fields["shift"] * height)
        if not fields["rotation"] and not fields["zoom"]:
            # Whole pixels: nothing is blurred.
            shift_x, shift_y = tf.round(shift_x), tf.round(shift_y)
        cos, sin = tf.cos(angle) * size, tf.sin(angle) * size
        a, b, c, d = cos * mirror_x, -sin * mirror_y, sin * mirror_x, cos * mirror_y
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        x0 = centre_x + shift_x - a * centre_x - b * centre_y
        y0 = centre_y + shift_y - c * centre_x - d * centre_y
        nothing = tf.zeros_like(a)
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=x_BHWC,
            transforms=tf.stack([a, b, x0, c, d, y0, nothing, nothing], axis=1),
            output_shape=tf.constant([height, width]),
            interpolation="BILINEAR",
            # What is beyond the edge goes on as the edge: black stays black, sky stays sky.
            fill_mode="NEAREST",
            fill_value=0.0,
        )

    def _colour(self, x_BHWC: Any, draw: "_Draws") -> Any:
        fields, span = self.fields, self.high - self.low
        if fields["saturation"] and x_BHWC.shape[3] == 3:
            grey = tf.reduce_mean(x_BHWC, axis=3, keepdims=True)
            x_BHWC = grey + (x_BHWC - grey) * _per_image(draw.around(1.0, fields["saturation"]))
        if fields["contrast"]:
            mean = tf.reduce_mean(x_BHWC, axis=(1, 2, 3), keepdims=True)
            x_BHWC = mean + (x_BHWC - mean) * _per_image(draw.around(1.0, fields["contrast"]))
        if fields["brightness"]:
            x_BHWC = x_BHWC + _per_image(draw.around(0.0, fields["brightness"] * span))
        return x_BHWC

    def _erase(self, x_BHWC: Any, draw: "_Draws") -> Any:
        if not self.fields["erase"]:
            return x_BHWC
        window = _windows(x_BHWC, draw, draw.between(0.0, self.fields["erase"]))
        return tf.where(window, (self.low + self.high) / 2, x_BHWC)

    def _mix(self, x_BHWC: Any, draw: "_Draws") -> Varied:
        """Mix the batch with itself in another order, by one of the two ways where both are asked for."""
        mixup, cutmix = float(self.fields["mixup"]), float(self.fields["cutmix"])
        if not mixup and not cutmix:
            return Varied({INPUT: x_BHWC})
        partner = draw.order()
        other = tf.gather(x_BHWC, partner)
        is_mixed = draw.one() < self.fields["mixed_share"]
        by_window = draw.one() < (1.0 if not mixup else 0.5 if cutmix else 0.0)
        share = draw.beta(mixup or cutmix, cutmix or mixup, by_window)
        window = _windows(x_BHWC, draw, 1.0 - share)
        # The share that is left of each image, after the window was cut off at the edge.
        kept = 1.0 - tf.reduce_mean(tf.cast(window, tf.float32), axis=(1, 2, 3))
        share = tf.where(is_mixed, tf.where(by_window, kept, share), tf.ones_like(share))
        laid = _per_image(share) * x_BHWC + _per_image(1.0 - share) * other
        mixed = tf.where(by_window, tf.where(window, other, x_BHWC), laid)
        return Varied({INPUT: tf.where(is_mixed, mixed, x_BHWC)}, partner, share)


class _Draws:
    """Random numbers (B,) of a key, each call others."""

    def __init__(self, key: Any, rows: Any) -> None:
        self._key = key
        self._rows = rows
        self._calls = 0

    def between(self, low: float, high: float) -> Any:
        return low + (high - low) * self._uniform()

    def around(self, middle: float, most: float) -> Any:
        return middle + most * (2.0 * self._uniform() - 1.0)

    def sign(self) -> Any:
        return tf.where(self._uniform() < 0.5, -1.0, 1.0)

    def one(self) -> Any:
        """One number for the whole batch."""
        return self._uniform()[0]

    def order(self) -> Any:
        return tf.argsort(self._uniform())

    def beta(self, first: float, second: float, use_second: Any) -> Any:
        """Beta(a, a) as the share of one of two gamma variables; a is `second` where that is to be used."""
        alpha = tf.where(use_second, second, first)
        shape = tf.stack([self._rows])
        one = tf.random.stateless_gamma(shape, self._next(), alpha)
        two = tf.random.stateless_gamma(shape, self._next(), alpha)
        return one / tf.maximum(one + two, 1e-20)

    def _uniform(self) -> Any:
        return tf.random.stateless_uniform(tf.stack([self._rows]), self._next())

    def _next(self) -> Any:
        self._calls += 1
        return self._key + tf.constant([self._calls * 1_000_003, 0], tf.int32)


def _windows(x_BHWC: Any, draw: _Draws, area: Any) -> Any:
    """(B, H, W, 1) which pixels lie in a square that covers the share `area` (B,) of the image."""
    height, width = x_BHWC.shape[1], x_BHWC.shape[2]
    side = tf.sqrt(area)
    middle_y, middle_x = draw.between(0.0, height), draw.between(0.0, width)
    rows = tf.range(height, dtype=tf.float32)[None, :] + 0.5
    columns = tf.range(width, dtype=tf.float32)[None, :] + 0.5
    in_rows = tf.abs(rows - middle_y[:, None]) <= side[:, None] * height / 2
    in_columns = tf.abs(columns - middle_x[:, None]) <= side[:, None] * width / 2
    return (in_rows[:, :, None] & in_columns[:, None, :])[..., None]


def _per_image(values: Any) -> Any:
    return values[:, None, None, None]


def make_variation(fields: Mapping[str, Any] | None, mirrors: bool, scale: InputScale) -> Variation | None:
    """Return the augmentation that `fields` ask for; None where they ask for nothing."""
    if fields is None:
        return None
    ends = (scale.add, WHITE * scale.multiply + scale.add)
    return Variation(fields, mirrors, min(ends), max(ends))
