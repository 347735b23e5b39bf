"""Stages that fill the slot speaker: which of the faces speaks."""
