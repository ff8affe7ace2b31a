"""The same bundles as the tests of predictions."""

from tests.inference.conftest import bundles

__all__ = ["bundles"]
