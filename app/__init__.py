"""The service: HTTP, rows, blobs and predictions. Imports neither `workers` nor Keras."""

RELEASE = "0.1.0"
