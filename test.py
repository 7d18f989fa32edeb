"""Test a model: `python test.py --config config/test/combined.yml --proj_dir project/20220422_031705`."""

import sys

from opensphere.command.main import run_command

if __name__ == "__main__":
    sys.exit(run_command("test"))
