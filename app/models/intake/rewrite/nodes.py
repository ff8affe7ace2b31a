"""The calls that make up a Functional model: nodes of Keras 1 and 2 as Keras 3 writes them.

Earlier versions wrote a call as a list of [layer, node, output, arguments], one for each tensor that goes in; Keras 3
writes {"args": […], "kwargs": {…}} with tensors as objects.
"""

import copy
from collections.abc import Iterator
from typing import Any, Final

from app.models.intake.rewrite.catalog import RECURRENT
from app.models.intake.rewrite.change import Config
from app.models.intake.rewrite.refused import Refused

# What a call may be given besides its tensors, and what that is called today.
_CALL_ARGUMENTS: Final[dict[str, str]] = {
    "attention_mask": "attention_mask",
    "causal": "use_causal_mask",
    "initial_state": "initial_state",
    "key": "key",
    "key_mask": "key_mask",
    "mask": "mask",
    "query_mask": "query_mask",
    "return_attention_scores": "return_attention_scores",
    "training": "training",
    "use_causal_mask": "use_causal_mask",
    "value": "value",
    "value_mask": "value_mask",
}


def tensor(layer: str, node: int, output: int) -> Config:
    """Return a reference to what a layer's call put out. Keras 3 reads the history alone, not shape and dtype."""
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None], "dtype": "float32", "keras_history": [layer, node, output]},
    }


def is_reference(value: Any) -> bool:
    """Whether a value is [layer, node, output] or [layer, node, output, arguments]."""
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and all(isinstance(number, int) and not isinstance(number, bool) for number in value[1:3])
        and (len(value) == 3 or isinstance(value[3], dict | None))
    )


def references(value: Any) -> Iterator[list[Any]]:
    """Give every [layer, node, output] in nodes or outputs of either form; lists that are changed change the nodes."""
    if is_reference(value):
        yield value
        if len(value) == 4 and value[3]:
            yield from references(list(value[3].values()))
    elif isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield value["config"]["keras_history"]
    elif isinstance(value, dict):
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def rewrite_node(node: Any, class_name: str, where: str) -> Config:
    """Return a call as Keras 3 writes it; names and node numbers stay. `class_name` is that of the layer called.

    Refused: `config_invalid`, and `unsupported_argument` for a call with what no layer of Keras 3 takes.
    """
    if isinstance(node, dict) and "args" in node:
        return _checked(node, where)
    if is_reference(node):
        node = [node]
    if isinstance(node, dict):
        arguments = {key: value for entry in node.values() for key, value in _arguments_of(entry).items()}
        return {
            "args": [{key: _inputs(entry, where) for key, entry in node.items()}],
            "kwargs": _call(arguments, where),
        }
    if not isinstance(node, list) or not node:
        raise Refused("config_invalid", "The calls of this layer cannot be read.", where)
    arguments = {key: value for entry in node for key, value in _arguments_of(entry).items()}
    inputs, kwargs = [_inputs(entry, where) for entry in node], _call(arguments, where)
    if class_name in RECURRENT and len(inputs) > 1:
        # Earlier versions passed the states as further inputs.
        return {"args": inputs[:1], "kwargs": {"initial_state": inputs[1:], **kwargs}}
    return {"args": [inputs[0] if len(inputs) == 1 else inputs], "kwargs": kwargs}


def _checked(node: Config, where: str) -> Config:
    """Return a call that is in the form of Keras 3 as a copy, its parts known to be there."""
    if not isinstance(node["args"], list) or not isinstance(node.get("kwargs", {}), dict):
        raise Refused("config_invalid", "The calls of this layer cannot be read.", where)
    pending = [node["args"], *node.get("kwargs", {}).values()]
    while pending:
        value = pending.pop()
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            history = config.get("keras_history") if isinstance(config, dict) else None
            if not isinstance(history, list) or len(history) != 3 or not is_reference(history):
                raise Refused("config_invalid", "The calls of this layer cannot be read.", where)
        elif isinstance(value, dict | list):
            pending += value.values() if isinstance(value, dict) else value
    return copy.deepcopy({"args": node["args"], "kwargs": node.get("kwargs", {})})


def _inputs(entry: Any, where: str) -> Any:
    if is_reference(entry):
        return tensor(entry[0], entry[1], entry[2])
    if isinstance(entry, list) and entry:
        return [_inputs(one, where) for one in entry]
    raise Refused("config_invalid", "The calls of this layer cannot be read.", where)


def _arguments_of(entry: Any) -> Config:
    if is_reference(entry):
        return (entry[3] if len(entry) == 4 else None) or {}
    if isinstance(entry, list):
        return {key: value for one in entry for key, value in _arguments_of(one).items()}
    return {}


def _call(arguments: Config, where: str) -> Config:
    kwargs: Config = {}
    for key, value in arguments.items():
        if value is None or value == []:
            continue
        if key not in _CALL_ARGUMENTS:
            raise Refused(
                "unsupported_argument", f"It is called with {key[:60]!r}, which Keras 3 does not take.", where
            )
        kwargs[_CALL_ARGUMENTS[key]] = _value(value)
    return kwargs


def _value(value: Any) -> Any:
    if is_reference(value):
        return tensor(value[0], value[1], value[2])
    if isinstance(value, list):
        return [_value(one) for one in value]
    return value
