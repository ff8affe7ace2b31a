"""EinsumDense by arithmetic; what Keras 3 builds is compared in the corpus of old files."""

import pytest

from app.models.intake.shapes import Misfit
from app.models.intake.shapes_of_einsum import bias_axes, einsum_dense, equation


@pytest.mark.parametrize(
    ("text", "shape", "output_shape", "axes", "gives", "parameters"),
    [
        ("ab,bc->ac", (5,), 7, "c", (7,), 42),
        ("abc,cd->abd", (None, 5), [None, 7], "d", (None, 7), 42),
        ("abc,cd->abd", (3, 5), [None, 7], None, (3, 7), 35),
        ("abc,cde->abde", (3, 6), [None, 2, 4], "de", (3, 2, 4), 56),
        ("abc,bd->adc", (3, 5), [2, None], None, (2, 5), 6),
        ("...x,xy->...y", (None, 4, 5), 7, "y", (None, 4, 7), 42),
    ],
)
def test_shape_and_parameters(text, shape, output_shape, axes, gives, parameters) -> None:  # type: ignore[no-untyped-def]
    cost = einsum_dense([shape], {"equation": text, "output_shape": output_shape, "bias_axes": axes})
    assert (cost.outputs, cost.parameters) == ((gives,), parameters)


@pytest.mark.parametrize(
    ("text", "shape", "output_shape"),
    [("abc,cd->abd", (5,), [None, 7]), ("abc,cd->abd", (3, None), [None, 7]), ("abc,cd->abe", (3, 5), [None, None])],
)
def test_what_does_not_fit_is_a_misfit(
    text: str, shape: tuple[int | None, ...], output_shape: list[int | None]
) -> None:
    with pytest.raises(Misfit):
        einsum_dense([shape], {"equation": text, "output_shape": output_shape})


def test_other_texts_are_no_equations() -> None:
    assert [bool(equation(text)) for text in ("abc,cd->abd", "a" * 90, "ab,bc", "__import__", 3)] == [
        False,
        True,
        True,
        True,
        True,
    ]
    assert [bool(bias_axes(text)) for text in (None, "d", "d d", 4)] == [False, False, True, True]
