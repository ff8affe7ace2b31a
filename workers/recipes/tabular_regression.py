"""Recipe `tabular-regression`: built as the architecture says, one output a target column."""

from workers.recipes.tabular import build_tabular as build

__all__ = ["build"]
