"""`python -m opensphere`, for those without the installed command."""

import sys

from opensphere.command.main import main

if __name__ == "__main__":
    sys.exit(main())
