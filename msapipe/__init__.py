"""A raw video in, a sentiment score out."""

__version__ = "0.1.0"
