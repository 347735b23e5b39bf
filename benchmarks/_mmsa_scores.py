"""What MMSA's own training says of the test clips, run by ``lf_dnn.py`` in an environment that has MMSA.

Arguments: model, folder. Every ``*.pkl`` there is trained on with every seed of ``seeds.json``; the scores of its test
clips go to ``PICKLE-SEED.json``. MMSA's own loader, model and trainer run, with its settings for MOSI.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from MMSA.config import get_config_regression
from MMSA.data_loader import MMDataLoader
from MMSA.models import AMIO
from MMSA.trains import ATIO
from MMSA.utils import setup_seed


def main() -> None:
    model, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    for pickle in sorted(folder.glob("*.pkl")):
        for seed in json.loads((folder / "seeds.json").read_text()):
            out = folder / f"{pickle.stem}-{seed}.json"
            if out.is_file():
                continue
            args = get_config_regression(model, "mosi")
            args.update({"custom_feature": str(pickle), "feature_T": "", "feature_A": "", "feature_V": ""})
            args.update({"train_mode": "regression", "device": "cpu", "cur_seed": 1})
            args["model_save_path"] = folder / "best.pth"
            setup_seed(seed)
            loaders = MMDataLoader(args, 0)
            net = AMIO(args)
            trainer = ATIO().getTrain(args)
            trainer.do_train(net, loaders)
            net.load_state_dict(torch.load(args["model_save_path"], weights_only=True))
            said = trainer.do_test(net, loaders["test"], mode="TEST", return_sample_results=True)
            scores = dict(zip(said["Ids"], map(float, said["SResults"]), strict=True))
            out.write_text(json.dumps(scores))


if __name__ == "__main__":
    main()
