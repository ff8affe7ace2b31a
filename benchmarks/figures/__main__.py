"""Measure every learning figure that is missing: `python -m benchmarks.figures [name …]`. Stopped runs go on."""

import argparse
import importlib
import sys

FIGURES = {
    "tabular": "defaults of the tabular recipes against gradient boosting on real tables",
    "text": "defaults of text-classification against TF-IDF and logistic regression, English and Chinese",
    "images": "defaults of image-classification on digits and on photographs of hands",
    "finetuning": "digits 5 to 9 from 20 examples a class: from a base that knows 0 to 4, and from scratch",
}


def main() -> int:
    """Run the named figures, or all; the exit code is 1 where one is behind what is promised."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    names = parser.parse_args().names or list(FIGURES)
    if unknown := [name for name in names if name not in FIGURES]:
        parser.error(f"no figure {unknown[0]}; there are {', '.join(FIGURES)}")
    behind = 0
    for name in names:
        print(f"\n== {name}: {FIGURES[name]}", flush=True)
        sys.argv = [name]
        behind |= importlib.import_module(f"benchmarks.figures.{name}").main()
    return behind


if __name__ == "__main__":
    sys.exit(main())
