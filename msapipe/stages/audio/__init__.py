"""Stages that fill the slot audio: acoustic features. One file per stage; the file's name is the stage's name."""
