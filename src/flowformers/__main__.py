"""python -m flowformers"""

import sys

from flowformers.cli import main

sys.exit(main())
