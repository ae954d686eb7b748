"""python -m flowformers"""

import sys

from flowformers.cli import command

sys.exit(command())
