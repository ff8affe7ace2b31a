"""What a raw config names, wherever in it: layers that run code or read files are refused at sight."""

import sys
from typing import Any

from app.models.intake.findings import Findings, shown

# Layers of Keras that call code, open paths or hold state of their own; and what else configs may name to that end.
UNSAFE = {
    "Lambda": "it runs a function that the file brings or names",
    "TorchModuleWrapper": "it unpickles what the file brings",
    "TFSMLayer": "it opens a SavedModel by its path",
    "JaxLayer": "it runs a function that the file brings",
    "FlaxLayer": "it runs a function that the file brings",
    "FeatureSpace": "it holds preprocessing that may name files",
    "StringLookup": "its vocabulary may be a path",
    "IntegerLookup": "its vocabulary may be a path",
    "IndexLookup": "its vocabulary may be a path",
    "TextVectorization": "its vocabulary may be a path",
    "Hashing": "it takes texts, not numbers",
    "HashedCrossing": "it takes texts, not numbers",
    "KerasLayer": "it opens a module of TensorFlow Hub",
}
_UNSAFE_CLASSES = frozenset({"__lambda__", "__typespec__", "__tensor__", "__numpy__", "__bytes__", "__complex__"})
_MODULES = frozenset({"keras", "tensorflow", "tf_keras", "builtins"})
# Parts of Keras whose functions open files, fetch, or change the whole process.
_UNSAFE_PARTS = frozenset(
    {"utils", "saving", "config", "datasets", "applications", "export", "backend", "distribution"}
)
_OUTSIDE = frozenset(sys.stdlib_module_names) - {"builtins", "__main__"}


def find_unsafe(config: Any, findings: Findings) -> None:
    """Add a reason for everything in the model's part of a config that is never taken in."""
    stack: list[tuple[Any, str]] = [(config, "")]
    while stack and not findings.full:
        node, near = stack.pop()
        if isinstance(node, list):
            stack.extend((item, near) for item in reversed(node))
        if not isinstance(node, dict):
            continue
        near = _near(node, near)
        _check_object(node, near, findings)
        stack.extend((value, near) for key, value in node.items() if key not in ("compile_config", "training_config"))
        if compiled := node.get("compile_config"):
            find_unsafe_training(compiled, findings)


def find_unsafe_training(config: Any, findings: Findings) -> None:
    """Add a reason for code in the part on training. It is never read: losses of one's own may stay in it."""
    stack = [config]
    while stack and not findings.full:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        if not isinstance(node, dict):
            continue
        name, module = node.get("class_name"), node.get("module")
        parts = module.split(".") if isinstance(module, str) else []
        runs = isinstance(name, str) and (name in UNSAFE or name in _UNSAFE_CLASSES)
        reaches = bool(parts) and (parts[0] in _OUTSIDE or _is_unsafe_part(parts))
        if runs or reaches:
            findings.add("unsafe_object", f"It names {shown(name)} of {shown(module)}.", "compile_config")
        stack.extend(node.values())


def _near(node: dict[str, Any], near: str) -> str:
    config = node.get("config")
    name = node.get("name") or (config.get("name") if isinstance(config, dict) else None)
    return str(name)[:128] if isinstance(name, str) and "class_name" in node else near


def _check_object(node: dict[str, Any], near: str, findings: Findings) -> None:
    name, module = node.get("class_name"), node.get("module")
    if isinstance(name, str) and name in UNSAFE:
        findings.add("unsafe_layer", f"{name} is never taken in: {UNSAFE[name]}.", near)
        return
    if isinstance(name, str) and name in _UNSAFE_CLASSES:
        findings.add("unsafe_object", f"The config holds {shown(name)}, which is never taken in.", near)
        return
    if not isinstance(module, str) or "class_name" not in node:
        return
    parts = module.split(".")
    if parts[0] in _OUTSIDE or _is_unsafe_part(parts):
        findings.add("unsafe_object", f"The config names {shown(name)} of the module {shown(module)}.", near)


def _is_unsafe_part(parts: list[str]) -> bool:
    inner = [part for part in parts if part not in ("keras", "src", "api", "_tf_keras", "python", "tensorflow")]
    return parts[0] in _MODULES and bool(inner) and inner[0] in _UNSAFE_PARTS
