"""Stages that fill the slot faces: every face in every sampled frame."""
