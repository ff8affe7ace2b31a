"""What runs a bundle's model: ONNX Runtime in this process."""

from app.inference.runtime import Model, OnnxModel
from app.models.bundle import Bundle


def open_model(bundle: Bundle) -> Model:
    """Return the bundle's model, loaded. Raises ModelUnusable, BundleCorrupt."""
    return OnnxModel(bundle.path("model.onnx"))
