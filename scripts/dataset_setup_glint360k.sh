#!/usr/bin/env bash
# Glint360K for training.
set -euo pipefail
# shellcheck source=scripts/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

begin "glint360k" "Sets up Glint360K as aligned images of 112x112." "$@"

# The link is that of OpenSphere; no checksum of its archive is known.
data_set glint360k train glint360k_train_ann.txt \
    'https://keeper.mpdl.mpg.de/f/689ebd19842b476280e3/?dl=1' "" "" \
    "Glint360K was made by InsightFace: https://github.com/deepinsight/insightface/tree/master/recognition/_datasets_"

finish
