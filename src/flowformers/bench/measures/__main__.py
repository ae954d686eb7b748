"""python -m flowformers.bench.measures NAME SETUP: one measurement, a JSON object a line on stdout."""

from __future__ import annotations

import json
import sys

from flowformers.bench.measures import print_measures
from flowformers.bench.setup import Setup

print_measures(sys.argv[1], Setup.of(json.loads(sys.argv[2])))
