"""Stages that fill the slot speaker: which of the faces speaks. One file per stage; the file's name is the stage's name."""
