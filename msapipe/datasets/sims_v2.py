"""CH-SIMS v2.0: as CH-SIMS; clips without a label are kept for models that learn from them."""

from __future__ import annotations

from msapipe.datasets.sims import Sims


class SimsV2(Sims):
    """4,402 labelled and 10,161 unlabelled clips (Liu et al., 2022), with a label.csv each."""
