"""Stages that fill the slot text: textual features. One file per stage; the file's name is the stage's name."""
