"""``python -m geocamss`` is ``geocamss``, also where its folder of programs is not on the path."""

import sys

from geocamss.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
