#!/usr/bin/env bash
# MS1M, a refined MS-Celeb-1M, for training.
set -euo pipefail
# shellcheck source=scripts/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

begin "ms1m_refine" "Sets up MS1M (refined MS-Celeb-1M) as aligned images of 112x112." "$@"

# The links are those of OpenSphere, whose list is a file beside the archive; no checksum of the archive is known.
data_set ms1m_refine train ms1m_refine_train_ann.txt \
    https://owncloud.tuebingen.mpg.de/index.php/s/8w42X2Kdwwk87fQ/download "" \
    "${MS1M_REFINE_LIST_URL-https://owncloud.tuebingen.mpg.de/index.php/s/SddrJjTXWKDQ7Xq/download}" \
    "Microsoft withdrew MS-Celeb-1M in 2019; refined copies are listed at
https://github.com/deepinsight/insightface/tree/master/recognition/_datasets_"

finish
