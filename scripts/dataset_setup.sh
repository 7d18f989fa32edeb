#!/usr/bin/env bash
# VGGFace2 for training, LFW, AgeDB-30, CA-LFW and CP-LFW for validation, IJB-B and IJB-C for testing.
set -euo pipefail
# shellcheck source=scripts/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"

begin "vggface2 ijb validation" "Sets up VGGFace2, IJB-B and IJB-C, and the validation sets, as aligned images of 112x112." "$@"

# The links are those of OpenSphere; no checksums of its archives are known.
data_set vggface2 train vggface2_train_ann.txt \
    https://owncloud.tuebingen.mpg.de/index.php/s/pzciprZpTPXD8Lq/download "" "" \
    "VGGFace2 was made by https://github.com/ox-vgg/vgg_face2 and is no longer distributed there;
copies are listed at https://github.com/deepinsight/insightface/tree/master/recognition/_datasets_"

data_set ijb test IJB-C/meta \
    https://owncloud.tuebingen.mpg.de/index.php/s/qw4xLwBiFSLwEBk/download "" "" \
    "NIST ended the distribution of IJB-B and IJB-C in March 2023: https://www.nist.gov/itl/iad/ig/face-challenges
copies are listed at https://github.com/deepinsight/insightface/tree/master/recognition/_datasets_"

data_set validation val combined_ann.txt \
    https://owncloud.tuebingen.mpg.de/index.php/s/wTNTz8RtZ8DKRPJ/download "" "" \
    "LFW: http://vis-www.cs.umass.edu/lfw/
AgeDB: https://ibug.doc.ic.ac.uk/resources/agedb/
CA-LFW: http://whdeng.cn/CALFW/index.html
CP-LFW: http://whdeng.cn/CPLFW/index.html"

finish
