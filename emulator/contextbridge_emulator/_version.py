"""The one version of contextbridge, as every package has it."""

__version__ = "0.2.0"
