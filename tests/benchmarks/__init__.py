"""Figures, made on request and never part of the suite: `python -m tests.benchmarks.<name>`."""
