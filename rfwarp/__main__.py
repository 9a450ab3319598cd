"""``python -m rfwarp`` is the ``rfwarp`` command."""

import sys

from rfwarp.cli import main

sys.exit(main())
