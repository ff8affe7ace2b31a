"""The calls of a Keras 3 Functional model as its config lists them: which layer reads what of which other."""

from dataclasses import dataclass
from typing import Any

from app.models.intake.findings import shown
from app.models.intake.rewrite.refused import Refused

MOST_CALLS = 20_000
MOST_TENSORS = 1_000
_MAIN = ("inputs", "query", "value", "key")
_ARGUMENTS = frozenset({
    *_MAIN, "mask", "training", "initial_state", "attention_mask", "query_mask", "value_mask", "key_mask",
    "return_attention_scores", "use_causal_mask", "constant_values", "sequences",
})  # fmt: skip

Tensor = tuple[str, int, int]
"""Output `tensor` of call `node` of the layer called `name`: (name, node, tensor)."""


@dataclass(frozen=True)
class Call:
    """One call of a layer: the tensors whose shapes count, all that it waits for, and its plain arguments."""

    layer: str
    node: int
    main: tuple[Tensor, ...]
    reads: tuple[Tensor, ...]
    plain: dict[str, Any]
    args: tuple[Any, ...] = ()
    """Positional arguments, each tensor by its `Tensor`, lists as lists."""


def calls_of(layer: dict[str, Any], name: str, where: str) -> list[Call]:
    """Return the calls in a layer's `inbound_nodes`; Refused for what is not tensors and plain values."""
    nodes = layer.get("inbound_nodes", [])
    if not isinstance(nodes, list) or len(nodes) > MOST_CALLS:
        raise Refused("inbound_nodes", "Its inbound_nodes are not a list of calls.", where)
    return [_call(node, name, index, where) for index, node in enumerate(nodes)]


def _call(node: Any, name: str, index: int, where: str) -> Call:
    if not isinstance(node, dict) or set(node) - {"args", "kwargs"}:
        raise Refused("inbound_nodes", "One of its inbound_nodes is not an object with args and kwargs.", where)
    args, kwargs = node.get("args", []), node.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise Refused("inbound_nodes", "One of its inbound_nodes is not an object with args and kwargs.", where)
    if unknown := sorted(set(kwargs) - _ARGUMENTS):
        raise Refused("inbound_nodes", f"It is called with {shown(unknown[0])}, which is no argument of it.", where)
    main: list[Tensor] = []
    reads: list[Tensor] = []
    plain: dict[str, Any] = {}
    for value in args:
        found = _tensors(value, where)
        main += found
        reads += found
    for key in sorted(kwargs, key=lambda key: _MAIN.index(key) if key in _MAIN else len(_MAIN)):
        found = _tensors(kwargs[key], where)
        reads += found
        if key in _MAIN:
            main += found
        if not found:
            plain[key] = kwargs[key]
    if len(reads) > MOST_TENSORS:
        raise Refused("inbound_nodes", f"It reads more than {MOST_TENSORS} tensors in one call.", where)
    return Call(name, index, tuple(main), tuple(reads), plain, tuple(_argument(value, where) for value in args))


def _argument(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [_argument(item, where) for item in value]
    return _tensor(value, where) if isinstance(value, dict) and not _is_pick(value) else value


def _is_pick(value: dict[str, Any]) -> bool:
    """Whether an argument is a slice or `...`, as in x[:, 1:3]."""
    config = value.get("config")
    if value.get("class_name") not in ("__slice__", "__ellipsis__") or set(value) - {"class_name", "config"}:
        return False
    return isinstance(config, dict) and all(
        key in ("start", "stop", "step") and (number is None or type(number) is int) for key, number in config.items()
    )


def _tensors(value: Any, where: str, depth: int = 0) -> list[Tensor]:
    """Return the tensors in an argument; what else is in it must be plain."""
    if isinstance(value, dict):
        return [] if _is_pick(value) else [_tensor(value, where)]
    if isinstance(value, list):
        if depth > 2:
            raise Refused("inbound_nodes", "An argument of a call nests too deep.", where)
        return [tensor for item in value for tensor in _tensors(item, where, depth + 1)]
    if value is None or isinstance(value, bool | int | float):
        return []
    raise Refused("inbound_nodes", f"An argument of a call is {shown(value)}, not a tensor or a number.", where)


def _tensor(value: dict[str, Any], where: str) -> Tensor:
    config = value.get("config")
    if value.get("class_name") == "__keras_tensor__" and isinstance(config, dict):
        return tensor_ref(config.get("keras_history"), where)
    raise Refused("inbound_nodes", f"An argument of a call is {shown(value.get('class_name'))}, not a tensor.", where)


def tensor_ref(value: Any, where: str) -> Tensor:
    """Return what `[name, node, tensor]` names."""
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        node, tensor = value[1:]
        whole = all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= MOST_CALLS for n in (node, tensor))
        if whole:
            return value[0], node, tensor
    raise Refused("inbound_nodes", "A tensor is not named as [layer, call, output].", where)


def ends(value: Any, where: str) -> list[Tensor]:
    """Return the tensors that `input_layers` or `output_layers` name: one, a list, or an object of them."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list) or not value:
        raise Refused("inbound_nodes", "The model names no inputs or outputs.", where)
    if isinstance(value[0], str):
        return [tensor_ref(value, where)]
    if len(value) > MOST_TENSORS:
        raise Refused("inbound_nodes", f"The model has more than {MOST_TENSORS} inputs or outputs.", where)
    return [tensor_ref(item, where) for item in value]


def order(calls: list[Call], where: str) -> list[Call]:
    """Return the calls so that each comes after those it reads; Refused for a circle or a tensor of no layer."""
    known = {(call.layer, call.node): call for call in calls}
    waiting: dict[tuple[str, int], int] = {}
    readers: dict[tuple[str, int], list[Call]] = {}
    for call in calls:
        needed = {(name, node) for name, node, _ in call.reads}
        for key in needed:
            if key not in known:
                raise Refused("inbound_nodes", f"It reads {shown(key[0])}, which the model does not have.", call.layer)
            readers.setdefault(key, []).append(call)
        waiting[call.layer, call.node] = len(needed)
    ready = [call for call in calls if waiting[call.layer, call.node] == 0]
    found: list[Call] = []
    while ready:
        call = ready.pop()
        found.append(call)
        for reader in readers.get((call.layer, call.node), []):
            waiting[reader.layer, reader.node] -= 1
            if waiting[reader.layer, reader.node] == 0:
                ready.append(reader)
    if len(found) != len(calls):
        raise Refused("inbound_nodes", "Its layers read each other in a circle.", where)
    return found
