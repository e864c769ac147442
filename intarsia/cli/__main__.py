"""`python -m intarsia.cli` is `intarsia`."""

import sys

from intarsia.cli import main

sys.exit(main())
