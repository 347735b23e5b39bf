"""CMU-MOSI: label.csv and Raw/<video_id>/<clip_id>.mp4, English, labels in [-3, 3]."""

from __future__ import annotations

from msapipe.datasets.table import Table


class Mosi(Table):
    """2,199 utterances of 93 monologues (Zadeh et al., 2016), in the layout that MMSA distributes.

    The split comes from the column ``mode``; without it, splits are made by video.
    """

    scale = (-3.0, 3.0)
    language = "en"
