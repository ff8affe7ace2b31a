"""Networks for images are what was counted; augmentation does what its fields say, and the same for the same key."""

from typing import Any

import numpy as np
import pytest

from app.recipes.image_counts import count_images
from app.recipes.image_params import Augmentation

pytestmark = pytest.mark.recipes

CNN = {"type": "cnn", "convolutions": 2, "kernel_size": 3, "activation": "relu", "dropout": 0.2}
RESNET = {"type": "resnet", "activation": "silu", "dropout": 0.0}


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        ({**CNN, "filters": [8, 16, 24], "normalization": "batch"}, (28, 28, 1)),
        ({**CNN, "filters": [8, 12], "normalization": "none", "kernel_size": 5, "convolutions": 1}, (33, 21, 3)),
        ({**RESNET, "filters": [8, 16], "blocks": 1}, (32, 32, 3)),
        ({**RESNET, "filters": [8, 8, 12], "blocks": 2}, (19, 30, 1)),
    ],
)
def test_what_is_built_is_what_was_counted(architecture: dict[str, Any], shape: tuple[int, int, int]) -> None:
    from workers.architectures.cnn import build_cnn
    from workers.architectures.resnet import build_resnet

    build = build_cnn if architecture["type"] == "cnn" else build_resnet
    built = build(architecture, shape, 7, "classification")
    counts = count_images(architecture, shape, 7, 0)
    model = built.serving_model
    assert counts.parameters == model.count_params()
    operations = sum(
        np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:-1], dtype=int)
        for layer in model.layers
        if hasattr(layer, "kernel")
    )
    assert counts.operations == operations
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    chances = np.asarray(model({"x": x}))
    assert chances.shape == (3, 7)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-5)


IMAGES = np.random.default_rng(1).uniform(-1, 1, (16, 12, 10, 3)).astype(np.float32)
OFF: dict[str, Any] = {**dict.fromkeys(Augmentation.model_fields, 0.0), "flip_vertical": False, "mixed_share": 1.0}


def vary(key: tuple[int, int] = (7, 3), mirrors: bool = False, x: Any = IMAGES, **fields: Any) -> Any:
    import tensorflow as tf

    from app.preprocessing.images import InputScale
    from workers.recipes.image_variation import make_variation

    variation = make_variation({**OFF, **fields}, mirrors, InputScale(2 / 255, -1.0))
    assert variation is not None
    varied = variation({"x": tf.constant(x)}, tf.constant(key, tf.int32))
    return varied._replace(inputs=varied.inputs["x"].numpy())


FIELDS: dict[str, Any] = {
    "shift": 0.2, "rotation": 20.0, "zoom": 0.2, "flip_vertical": True, "brightness": 0.2, "contrast": 0.3,
    "saturation": 0.5, "erase": 0.3, "mixup": 0.4, "cutmix": 1.0,
}  # fmt: skip


def test_nothing_asked_for_is_nothing_done() -> None:
    varied = vary()
    assert np.array_equal(varied.inputs, IMAGES)
    assert varied.partner is None


@pytest.mark.parametrize("name", list(FIELDS))
def test_each_field_alters_images_by_the_key_alone(name: str) -> None:
    first, again = (vary(**{name: FIELDS[name]}) for _ in range(2))
    assert np.array_equal(first.inputs, again.inputs)
    assert np.isfinite(first.inputs).all()
    assert not np.array_equal(first.inputs, IMAGES)
    for key in ((8, 3), (7, 4)):
        assert not np.array_equal(vary(key, **{name: FIELDS[name]}).inputs, first.inputs)


def test_mirrors_exchange_left_and_right_of_about_half() -> None:
    found = np.concatenate([vary((7, key), mirrors=True).inputs for key in range(8)])
    images = np.tile(IMAGES, (8, 1, 1, 1))
    same = np.abs(found - images).max(axis=(1, 2, 3)) < 1e-5
    mirrored = np.abs(found - images[:, :, ::-1]).max(axis=(1, 2, 3)) < 1e-5
    assert (same | mirrored).all()
    assert 0.3 < mirrored.mean() < 0.7


def test_shifts_alone_move_whole_pixels() -> None:
    ramp = np.tile(np.arange(10, dtype=np.float32)[None, None, :, None], (16, 12, 1, 1))
    moved = vary(x=ramp, shift=0.3).inputs
    assert np.abs(moved - np.round(moved)).max() < 1e-4
    steps = np.unique(np.round(moved[:, 0, 5, 0] - 5))
    assert len(steps) > 2
    assert np.abs(steps).max() <= 3


def test_what_is_beyond_the_edge_goes_on_as_the_edge() -> None:
    flat = np.full((16, 12, 10, 1), 0.7, np.float32)
    np.testing.assert_allclose(vary(x=flat, shift=0.5, rotation=45.0, zoom=0.5).inputs, flat, atol=1e-5)


def test_mixed_images_keep_their_share() -> None:
    flat = np.broadcast_to(np.arange(16, dtype=np.float32)[:, None, None, None], (16, 12, 10, 1)).copy()
    for name in ("mixup", "cutmix"):
        varied = vary(x=flat, **{name: 1.0})
        partner, share = varied.partner.numpy(), varied.share.numpy()
        assert sorted(partner) == list(range(16))
        assert ((share >= 0) & (share <= 1)).all()
        wanted = share * np.arange(16) + (1 - share) * partner
        np.testing.assert_allclose(varied.inputs.mean(axis=(1, 2, 3)), wanted, atol=1e-4)
    assert set(np.unique(vary(x=flat, cutmix=1.0).inputs)) <= set(range(16))


def test_a_share_of_the_batches_is_mixed() -> None:
    mixed = [float(vary((7, key), cutmix=1.0, mixed_share=0.5).share.numpy().min()) < 1 for key in range(60)]
    assert 0.3 < np.mean(mixed) < 0.7
