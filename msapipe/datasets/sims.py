"""CH-SIMS: label.csv with T, A, V beside the common label, Raw/<video_id>/<clip_id>.mp4, Chinese, in [-1, 1]."""

from __future__ import annotations

from msapipe.datasets.table import Table


class Sims(Table):
    """2,281 clips of films and series with one label per modality (Yu et al., 2020); ids have leading zeros."""

    scale = (-1.0, 1.0)
    language = "zh"
