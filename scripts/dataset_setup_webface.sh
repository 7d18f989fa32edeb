#!/usr/bin/env bash
# WebFace for training.
set -euo pipefail
# shellcheck source=scripts/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

begin "webface" "Sets up WebFace as aligned images of 112x112." "$@"

# The link is that of OpenSphere; no checksum of its archive is known.
data_set webface train webface_train_ann.txt \
    https://owncloud.tuebingen.mpg.de/index.php/s/P5iAosWRFcjLoFf/download "" "" \
    "WebFace260M and its parts: https://www.face-benchmark.org/download.html
CASIA-WebFace: https://arxiv.org/abs/1411.7923, copies are listed at
https://github.com/deepinsight/insightface/tree/master/recognition/_datasets_"

finish
