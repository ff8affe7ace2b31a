"""A model's config, of any version of Keras: what it names, brought to the form of Keras 3, allowed, and worked out."""

from typing import Any

from app.models.intake.arithmetic import Bounds, ModelFacts, work_out
from app.models.intake.findings import Findings
from app.models.intake.limits import MAX_LAYERS, IntakeLimits
from app.models.intake.names import find_unsafe
from app.models.intake.rewrite import rewrite
from app.models.intake.rewrite.refused import Refused


def check_config(config: Any, keras_version: str, backend: str, limits: IntakeLimits) -> ModelFacts:
    """Return what a config amounts to; RefusedUpload or Refused with the reasons against it.

    The model is built from the same rewritten config, so that what is checked is what is built.
    """
    findings = Findings()
    if not isinstance(config, dict):
        raise Refused("config_invalid", "The model's config is not an object.")
    _check_count(config)
    find_unsafe(config, findings)
    findings.stop()
    try:
        rewritten = rewrite(config, keras_version, backend).config
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        # Old forms are many: a config that none of them fits shows where its parts are taken for what they are not.
        raise Refused("config_invalid", "The config is not of a form that any version of Keras writes.") from error
    return work_out(rewritten, Bounds(limits.max_parameters, limits.max_activation_bytes))


def _check_count(config: Any) -> None:
    """Count the layers of a config in any form before anything else is done with it."""
    count = 0
    stack = [config]
    while stack:
        node = stack.pop()
        inner = node.get("config") if isinstance(node, dict) else None
        # The config of a Sequential was the list of its layers up to Keras 2.2.
        layers = inner.get("layers") if isinstance(inner, dict) else inner
        if isinstance(layers, list):
            count += len(layers)
            stack += layers
        if count > MAX_LAYERS:
            raise Refused("too_many_layers", f"The model has more than {MAX_LAYERS} layers.")
