"""Stages that fill the slot text: textual features."""
