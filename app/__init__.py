"""The service: HTTP, rows, blobs and predictions. Imports neither `workers` nor Keras."""

import os

RELEASE = "0.1.0"

# Since 1.29 ONNX Runtime's official Linux builds send names and hashes of models to their maker (its
# Privacy.md). 1.32 writes an identifier of the machine, and may send, while it is being imported, and
# other libraries import it too: so it is switched off here, before any of them.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
