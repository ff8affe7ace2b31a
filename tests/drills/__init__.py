"""Drills: the whole service as real processes, broken on purpose (docs/drills.md). `python -m tests.drills --help`."""
