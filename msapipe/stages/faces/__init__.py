"""Stages that fill the slot faces: every face in every sampled frame.

One file per stage; the name of the file is the name of the stage.
"""
