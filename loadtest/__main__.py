"""``python -m loadtest`` is the load-test program."""

import sys

from loadtest.cli import main

if __name__ == "__main__":
    sys.exit(main())
