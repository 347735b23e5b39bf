"""Stages that fill the slot audio: acoustic features."""
