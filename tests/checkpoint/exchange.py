"""Runs in an environment with transformers 4 and tf-keras, without flowformers: exchange.py FOLDER

For each FOLDER/<family>-<head>/ours: load it with transformers' TensorFlow class, write its answers, and save it again
beside it as theirs. Prints what it missed or could not use, as JSON.
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["USE_TORCH"] = "0"

import numpy as np
import transformers


def main(root):
    account = {}
    for folder in sorted(root.iterdir()):
        name = json.loads((folder / "ours" / "config.json").read_text())["architectures"][0]
        cls = getattr(transformers, f"TF{name}")
        model, info = cls.from_pretrained(folder / "ours", output_loading_info=True)
        account[folder.name] = {key: sorted(map(str, value)) for key, value in info.items()}
        output = model(dict(np.load(folder / "request.npz")), return_dict=True)
        tensors = {key: np.array(value) for key, value in output.items() if key != "past_key_values"}
        np.savez(folder / "answers.npz", **tensors)
        model.save_pretrained(folder / "theirs")
    print(json.dumps(account))


main(Path(sys.argv[1]))
