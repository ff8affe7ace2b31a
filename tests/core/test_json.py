"""JSON is RFC 8259 and nothing more."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import BadRequest, Unprocessable
from app.core.json import MAX_DEPTH, dump_json, parse_json


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b'{"a":NaN}',
        b"[Infinity]",
        b"[-Infinity]",
        b"1e999",
        b'"\\ud800"',
        b'"\\udc00x"',
        b"\xff\xfe{\x00}\x00",
        b'{"a":1,"a":2}',
        b'[{"b":{"c":1,"c":1}}]',
        b"[" * 200_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a":' * 100_000,
        b"{'a':1}",
        b"[1,]",
        b"01",
    ],
)
def test_refuses_what_is_not_json(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_json(body)
    assert caught.value.status == 400
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize("body", [b'"a\\u0000b"', b'{"a\\u0000":1}', b'[{"x":["\\u0000"]}]'])
def test_refuses_nul_characters(body: bytes) -> None:
    with pytest.raises(Unprocessable):
        parse_json(body)


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(_values)
def test_reads_every_json_value_as_the_standard_parser_does(value: object) -> None:
    body = json.dumps(value).encode()
    assert parse_json(body) == json.loads(body)


def test_depth_limit_is_reached_but_not_passed() -> None:
    body = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert json.dumps(parse_json(body)).encode() == body


def test_answers_never_hold_nan() -> None:
    body = dump_json({"a": math.nan, "b": [np.float32("inf"), np.int64(3)], "c": np.array([1.5, np.nan])})
    assert json.loads(body) == {"a": None, "b": [None, 3], "c": [1.5, None]}
