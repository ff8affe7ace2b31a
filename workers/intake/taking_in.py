"""What the locked-in child does with one upload: look, refuse or load, write it anew as a bundle, and report."""

from pathlib import Path
from typing import Any

from app.models.intake.arithmetic import ModelFacts
from app.models.intake.child import BUNDLE_FOLDER
from app.models.intake.config_check import check_config
from app.models.intake.findings import Findings, RefusedUpload, reason
from app.models.intake.inspect_json import parse_config
from app.models.intake.inspect_zip import copy_member
from app.models.intake.inspection import KERAS_MEMBERS, Inspected, inspect_file
from app.models.intake.limits import MAX_CONFIG_BYTES, IntakeLimits
from app.models.intake.names import find_unsafe_training
from app.models.intake.rewrite.refused import Refused
from workers.intake.inspect_hdf5 import Structure, inspect_hdf5, read_attribute

_TRAINING = "training_config"
_SLACK = 4096  # steps of optimizers and states of random numbers, which are stored beside the weights


def take_in(order: dict[str, Any]) -> dict[str, Any]:
    """Return the report of one upload; its bundle lies in the output folder where it is taken in."""
    limits = IntakeLimits(**order["limits"])
    path, output = Path(order["file"]), Path(order["output"])
    architecture = Path(order["architecture"]) if order["architecture"] else None
    report: dict[str, Any] = {"accepted": False, "reasons": [], "format": "", "keras_version": "", "layers": []}
    report |= {"parameters": 0, "rewritten": []}
    try:
        inspected = inspect_file(path, limits)
        report["format"] = inspected.format
        if inspected.format == "huggingface":
            from workers.intake.checkpoint import publish_checkpoint

            return {**report, **publish_checkpoint(path, output / BUNDLE_FOLDER, order, limits)}
        facts = inspect(inspected, path, architecture, output, limits)
        report |= {"layers": facts.layers, "parameters": facts.parameters}
        # TensorFlow is imported for what has passed everything that needs no TensorFlow.
        from workers.intake.publishing import publish

        return {**report, **publish(path, architecture, output / BUNDLE_FOLDER, facts, order)}
    except RefusedUpload as refused:
        return report | {"reasons": refused.reasons}
    except Refused as refused:
        return report | {"reasons": [reason(refused.code, refused.message, refused.where)]}


def inspect(
    inspected: Inspected, path: Path, architecture: Path | None, output: Path, limits: IntakeLimits
) -> ModelFacts:
    """Look at structure and config; return what the model amounts to. RefusedUpload, Refused."""
    findings = Findings()
    weights = path
    if inspected.format == "keras":
        weights = output / "weights.h5"
        with weights.open("xb") as sink:
            copy_member(path, KERAS_MEMBERS[2], limits.max_upload_bytes, sink)
    structure = inspect_hdf5(weights, findings)
    if inspected.format == "keras":
        weights.unlink()
        config, version, backend = inspected.config, inspected.keras_version, ""
    else:
        config, version, backend = _config_of(path, architecture, findings)
    findings.stop()
    facts = check_config(config, version, backend, limits)
    _check_amount(structure, facts, findings)
    findings.stop()
    return facts


def _config_of(path: Path, architecture: Path | None, findings: Findings) -> tuple[Any, str, str]:
    """Return config, version and backend of a whole-model HDF5 file, or of a weights file's architecture."""
    texts: dict[str, bytes | None] = {}
    for name in ("model_config", _TRAINING, "keras_version", "backend"):
        try:
            texts[name] = read_attribute(path, name, MAX_CONFIG_BYTES)
        except ValueError:
            findings.add("config_invalid", "This attribute is not a text that can be read.", name)
    findings.stop()
    if training := texts[_TRAINING]:
        find_unsafe_training(parse_config(training, _TRAINING, MAX_CONFIG_BYTES), findings)
    version, backend = (_short(texts[name]) for name in ("keras_version", "backend"))
    if architecture is not None:
        config = parse_config(architecture.read_bytes(), "architecture", MAX_CONFIG_BYTES)
        if isinstance(config, dict):
            said = config.get("keras_version")
            version = said[:40] if isinstance(said, str) else version
        return config, version, backend
    if texts["model_config"] is None:
        message = "It holds weights only. Send the architecture's JSON as a second part, architecture."
        raise Refused("weights_only", message)
    return parse_config(texts["model_config"], "model_config", MAX_CONFIG_BYTES), version, backend


def _short(text: bytes | None) -> str:
    return (text or b"").decode("utf-8", "replace")[:40]


def _check_amount(structure: Structure, facts: ModelFacts, findings: Findings) -> None:
    """Compare what the file declares with what the model owes: no data set is read that could not be one of it."""
    # Recurrent layers of CUDNN and shared scales store up to twice of what is learnt.
    if structure.weights > 2 * facts.parameters + _SLACK:
        message = f"The file declares {structure.weights} weights; the model has {facts.parameters} parameters."
        findings.add("weights_mismatch", message)
    if structure.weights < facts.parameters:
        message = f"The file holds {structure.weights} weights; the model has {facts.parameters} parameters."
        findings.add("weights_mismatch", message)
