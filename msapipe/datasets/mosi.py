"""CMU-MOSI: label.csv and Raw/<video_id>/<clip_id>.mp4, English, labels in [-3, 3]."""

from __future__ import annotations

from msapipe.datasets.table import Table


class Mosi(Table):
    """2,199 utterances of 93 monologues (Zadeh et al., 2016), in the layout in which MMSA hands them out.

    The split is that of the column ``mode``; without one it is made by video.
    """

    scale = (-3.0, 3.0)
    language = "en"
