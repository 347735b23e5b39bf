"""Stages that fill the slot faces: every face in every sampled frame. One file per stage; the file's name is the stage's name."""
