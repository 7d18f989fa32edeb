"""Train a model: `python train.py --config config/train/vggface2_sfnet20_sphereface.yml`."""

import sys

from opensphere.command.main import run_command

if __name__ == "__main__":
    sys.exit(run_command("train"))
