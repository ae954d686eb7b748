"""python -m flowformers.cli"""

import sys

from flowformers.cli import main

sys.exit(main())
