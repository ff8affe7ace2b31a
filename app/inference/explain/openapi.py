"""The request and answer of an explanation, as JSON Schema."""

from typing import Any, Final

BODY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["instances"],
    "additionalProperties": False,
    "properties": {
        "instances": {"type": "array", "items": {}, "description": "As those of `predict`."},
        "target": {
            "type": ["string", "number", "boolean", "null"],
            "description": "A label, or the number of an output; null for what is predicted.",
        },
        "baseline": {"description": "An instance to compare with; null for what training knew of each column."},
    },
}
_NUMBER: Final = {"type": ["number", "null"]}
ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["explanations", "model"],
    "properties": {
        "explanations": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["method", "target", "baseline_value", "value", "attributions", "completeness_error"],
                "properties": {
                    "method": {"type": "string", "enum": ["integrated_gradients", "shapley"]},
                    "target": {"description": "The label or output that is explained."},
                    "baseline_value": _NUMBER,
                    "value": _NUMBER,
                    "attributions": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["name", "value"],
                            "properties": {"name": {"type": "string"}, "value": _NUMBER, "given": {}},
                        },
                    },
                    "attributions_map": {"description": "Nested lists in the input's shape; of an image (H, W)."},
                    "image": {"description": "A PNG in base64: red speaks for the target, blue against it."},
                    "completeness_error": _NUMBER,
                    "deletion_auc": _NUMBER,
                    "random_deletion_auc": _NUMBER,
                },
            },
        },
        "model": {"type": "object", "properties": {"name": {"type": "string"}, "version": {"type": "integer"}}},
    },
}
