"""from_pretrained against the least that it has to do: read the file once and make the variables."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from flowformers.bench.records import Measure
from flowformers.bench.setup import Setup

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure(setup: Setup) -> Iterator[Measure]:
    """Peak memory of the first load in this process, then times."""
    from flowformers import TFBertModel
    from flowformers.nn.parts import uninitialised

    file = setup.model / "model.safetensors"
    size = file.stat().st_size
    _settle(TFBertModel)
    peak = _peak_growth(lambda: TFBertModel.from_pretrained(setup.model))
    yield Measure("loading", "peak memory beyond TensorFlow's own, over the file's size", peak / size, "x", at_most=2.2)

    def build() -> Any:
        with uninitialised():
            return TFBertModel(TFBertModel.config_class.from_pretrained(setup.model))

    setup.scratch.mkdir(parents=True, exist_ok=True)
    copy = _seconds(lambda: shutil.copyfile(file, setup.scratch / "copy.safetensors"), setup.rounds)
    built = _seconds(build, setup.rounds)
    loaded = _seconds(lambda: TFBertModel.from_pretrained(setup.model), setup.rounds)
    for name, value in (("copying the file", copy), ("building the variables", built), ("from_pretrained", loaded)):
        yield Measure("loading", name, value, "s")
    yield Measure("loading", "from_pretrained over copying and building", loaded / (copy + built), "x", at_most=1.5)


def _settle(cls: Any) -> None:
    """What TensorFlow and Keras allocate once."""
    cls(cls.config_class(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8))
    gc.collect()


def _peak_growth(action: Callable[[], Any]) -> int:
    """Bytes that resident memory rose by at its highest during the action."""
    CLEAR.write_text("5")  # the kernel's word for: forget the peak
    before = _status("VmRSS")
    result = action()  # held until the peak is read
    peak = _status("VmHWM") - before
    del result
    return peak


def _status(name: str) -> int:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def _seconds(action: Callable[[], Any], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        gc.collect()
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return median(times)
