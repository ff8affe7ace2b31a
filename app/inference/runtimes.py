"""What runs a bundle's model: ONNX Runtime in this process, or Keras in a process of its own."""

from app.inference.keras_child import KerasChild
from app.inference.runtime import Model, OnnxModel
from app.models.bundle import Bundle


def open_model(bundle: Bundle) -> Model:
    """Return the bundle's model, loaded. Raises ModelUnusable, BundleCorrupt."""
    if bundle.manifest["runtime"] == "tensorflow":
        return KerasChild(bundle)
    return OnnxModel(bundle.path("model.onnx"))
