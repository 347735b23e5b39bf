"""Stages that fill the slot vision: visual features."""
