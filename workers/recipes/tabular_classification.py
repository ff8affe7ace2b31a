"""Recipe `tabular-classification`: built as the architecture says, one output a class or label."""

from workers.recipes.tabular import build_tabular as build

__all__ = ["build"]
