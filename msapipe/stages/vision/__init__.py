"""Stages that fill the slot vision: visual features. One file per stage; the file's name is the stage's name."""
