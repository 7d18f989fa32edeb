# shellcheck shell=bash
# Sourced by the dataset_setup scripts: fetch an archive, check it, unpack it where the configs look for it.
#
# Nothing is fetched twice. A download that broke off goes on where it stopped, an archive is unpacked beside its place
# and moved there when it is complete, and the file that shows that a set is there is moved last.

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DATA=data
OWN=()        # --from: NAME=FILE, a FILE or a FOLDER
ONLY=""       # --only: the name of one set
FAILED=""     # names of the sets that could not be had

say() { printf '%s\n' "$*" >&2; }

usage_error() {
    say "$0: $*"
    exit 2
}

# begin NAMES TITLE "$@": reads the command line of a script that sets up the sets NAMES.
begin() {
    NAMES=$1
    local title=$2
    shift 2
    while (($#)); do
        case $1 in
            -h | --help)
                help_text "$title"
                exit 0
                ;;
            --data | --from | --only) (($# > 1)) || usage_error "$1 needs a value" ;;
            *) usage_error "unknown argument $1; --help lists the known ones" ;;
        esac
        case $1 in
            --data) DATA=${2%/} ;;
            --only)
                [[ " $NAMES " == *" $2 "* ]] || usage_error "--only $2: the sets of this script are: $NAMES"
                ONLY=$2
                ;;
            --from)
                own_copy_is_usable "$2"
                OWN+=("$2")
                ;;
        esac
        shift 2
    done
    choose_python
}

help_text() {
    cat << END
$1

usage: bash $0 [--from COPY] [--only NAME] [--data FOLDER]

  --from COPY    use your own copy of an archive: a file called NAME.tar (or .tar.gz, .tgz, .zip ...), a folder that
                 holds such files, or NAME=FILE where the file is called otherwise; may be repeated
  --only NAME    only this set, one of: $NAMES
  --data FOLDER  where the sets are put (data)

Environment: NAME_URL and NAME_SHA256 (name in capitals) replace the link of an archive and the checksum it must have;
PYTHON names the Python to use. A link to Google Drive needs gdown (pip install gdown).
END
}

own_copy_is_usable() {
    local copy=$1 name base
    for name in $NAMES; do
        if [[ $copy == "$name="* ]]; then
            [[ -f ${copy#*=} ]] || usage_error "--from $copy: there is no such file"
            return
        fi
        base=$(lower "$(basename "$copy")")
        [[ -f $copy && $base == "$name."* ]] && return
    done
    [[ -e $copy ]] || usage_error "--from $copy: there is no such file or folder"
    [[ -d $copy ]] || usage_error "--from $copy: say which set it is, as in --from NAME=FILE, NAME one of: $NAMES"
}

choose_python() {
    local complete='import importlib.util as u, sys; sys.exit(not (u.find_spec("torch") and u.find_spec("cv2")))'
    if [[ -z ${PYTHON-} ]]; then
        PYTHON=python3
        if ! "$PYTHON" -c "$complete" 2> /dev/null && [[ -x $SCRIPTS/../.venv/bin/python ]]; then
            PYTHON=$SCRIPTS/../.venv/bin/python
        fi
    fi
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null ||
        usage_error "$PYTHON: Python 3.11 or newer is needed; activate the environment, or set PYTHON"
}

lower() { printf '%s' "$1" | tr '[:upper:]' '[:lower:]'; }
upper() { printf '%s' "$1" | tr '[:lower:]' '[:upper:]'; }

# data_set NAME FOLDER PROOF URL SHA256 LIST_URL ABOUT: puts the set NAME into $DATA/FOLDER, which is done when PROOF
# exists there. URL may be empty (no link is known), SHA256 too (no checksum is known). A PROOF that is the list of a
# training set is taken from the archive, else from LIST_URL, else made from the folders of the archive.
data_set() {
    local name=$1 folder=$DATA/$2 proof=$3 list_url=$6 about=$7
    local url_variable sha256_variable
    url_variable=$(upper "$name")_URL
    sha256_variable=$(upper "$name")_SHA256
    local url=${!url_variable-$4} sha256=${!sha256_variable-$5}
    local download=$DATA/.download/$name stage=$folder/.$name.unpacking archive own=""
    [[ -z $ONLY || $ONLY == "$name" ]] || return 0
    if [[ -e $folder/$proof ]]; then
        say "$name: already there, $folder/$proof"
        rm -rf "$stage"
        forget_download "$download"
        return 0
    fi
    mkdir -p "$folder" "$DATA/.download"
    if own=$(own_copy "$name"); then
        archive=$own
        say "$name: using $archive"
    else
        archive=$download
        fetch "$name" "$url" "$download" || return_failed "$name" "$folder/$proof" "$about" || return 0
    fi
    matches "$name" "$archive" "$sha256" "$sha256_variable" || return_failed "$name" || return 0
    local status=0
    unpack "$name" "$archive" "$stage" "$proof" "$list_url" || status=$?
    if ((status == 0)); then
        "$PYTHON" "$SCRIPTS/unpack.py" move "$stage" "$folder" "${proof%%/*}" || status=$?
    fi
    if ((status)); then
        rm -rf "$stage"
        if ((status == 3)) && [[ -z $own ]]; then
            forget_download "$download" # no archive or a damaged one: the next run fetches it anew
        fi
        return_failed "$name" "$folder/$proof" "$about"
        return 0
    fi
    rm -rf "$stage"
    forget_download "$download"
    say "$name: done, $folder/$proof"
}

forget_download() { rm -f "$1" "$1.part" "$1.url"; }

# return_failed NAME [PROOF ABOUT]: notes the failure, with advice if PROOF is given; its status is always 1.
return_failed() {
    FAILED="$FAILED $1"
    if (($# > 1)); then
        say "  Your own copy:  bash $0 --from $1=FILE    (tar, tar.gz, tgz, zip)"
        say "  Another link:   $(upper "$1")_URL=https://... bash $0"
        say "  By hand:        unpack it so that $2 exists"
        say "  About the data: ${3//$'\n'/$'\n'                  }"
    fi
    return 1
}

# finish: the exit status of a script, 1 if a set could not be had.
finish() {
    rmdir "$DATA/.download" 2> /dev/null || true # stays while it holds the beginning of a download
    if [[ -n $FAILED ]]; then
        say "not set up:$FAILED"
        exit 1
    fi
}

# own_copy NAME: prints the copy of NAME that --from gave.
own_copy() {
    local name=$1 copy file
    for copy in ${OWN[@]+"${OWN[@]}"}; do
        if [[ $copy == "$name="* ]]; then
            printf '%s' "${copy#*=}"
            return 0
        fi
        for file in "$copy" "$copy"/*; do
            if [[ -f $file && $(lower "$(basename "$file")") =~ ^"$name"\.(tar|tar\.[a-z0-9]{2,3}|tgz|tbz2|txz|zip)$ ]]; then
                printf '%s' "$file"
                return 0
            fi
        done
    done
    return 1
}

# fetch NAME URL FILE: FILE is there when it is complete; until then its beginning is in FILE.part.
fetch() {
    local name=$1 url=$2 file=$3 status=0
    if [[ -z $url ]]; then
        say "$name: no link is known"
        return 1
    fi
    if [[ ! -f $file.url || $(cat "$file.url") != "$url" ]]; then
        rm -f "$file" "$file.part" # of another link: its rest would not fit
        printf '%s\n' "$url" > "$file.url"
    fi
    [[ -f $file ]] && return 0
    say "$name: fetching $url"
    case $url in
        *drive.google.com*) fetch_with_gdown "$url" "$file.part" || status=$? ;;
        *)
            if command -v curl > /dev/null; then
                fetch_with_curl "$url" "$file.part" || status=$?
            elif command -v wget > /dev/null; then
                fetch_with_wget "$url" "$file.part" || status=$?
            else
                say "$name: curl or wget is needed"
                return 1
            fi
            ;;
    esac
    if ((status == 0)) && [[ -s $file.part ]]; then
        mv "$file.part" "$file"
    elif [[ -s $file.part ]]; then
        say "$name: the download broke off (status $status); what came is kept, run again to go on: $url"
        return 1
    else
        say "$name: the link gives nothing (status $status): $url"
        rm -f "$file.part" "$file.url"
        return 1
    fi
}

fetch_with_curl() {
    local options=(--fail --location --globoff --proto '=https,http,ftp,file' --retry 5 --connect-timeout 30)
    if [[ -t 2 ]]; then options+=(--progress-bar); else options+=(--silent --show-error); fi
    local status=0
    curl "${options[@]}" --continue-at - --output "$2" --url "$1" || status=$?
    if ((status == 33)); then # the server cannot give the rest alone
        rm -f "$2"
        status=0
        curl "${options[@]}" --output "$2" --url "$1" || status=$?
    fi
    return "$status"
}

fetch_with_wget() {
    wget --no-verbose --continue --tries=5 --timeout=30 --output-document="$2" -- "$1"
}

fetch_with_gdown() {
    if ! command -v gdown > /dev/null; then
        say "a link to Google Drive needs gdown (pip install gdown), or a browser and --from"
        return 127
    fi
    local id
    id=$(printf '%s' "$1" | sed -E 's#.*(/d/|[?&]id=)([A-Za-z0-9_-]+).*#\2#')
    gdown --continue --output "$2" "https://drive.google.com/uc?id=$id"
}

# matches NAME FILE SHA256 VARIABLE: whether FILE has the checksum; where none is known, says what it has.
matches() {
    local name=$1 file=$2 wanted found
    wanted=$(lower "$3")
    found=$("$PYTHON" "$SCRIPTS/unpack.py" sha256 "$file") || return 1
    if [[ -z $wanted ]]; then
        say "$name: sha256 $found (none is known to compare it with)"
    elif [[ $wanted != "$found" ]]; then
        say "$name: $file has sha256 $found, not $wanted: not unpacked. Correct $4, or delete the file to fetch it anew"
        return 1
    fi
}

# unpack NAME FILE STAGE PROOF LIST_URL: the content of FILE in STAGE, with PROOF.
unpack() {
    local name=$1 file=$2 stage=$3 proof=$4 list_url=$5
    rm -rf "$stage"
    mkdir -p "$stage"
    say "$name: unpacking $file"
    "$PYTHON" "$SCRIPTS/unpack.py" into "$stage" "$file" "$proof" || return $?
    [[ -e $stage/$proof ]] && return 0
    if [[ $proof == *_train_ann.txt ]]; then
        if [[ -n $list_url ]] && fetch_list "$name" "$list_url" "$stage" "$proof"; then return 0; fi
        say "$name: making the list $proof from the folders of the archive"
        "$PYTHON" "$SCRIPTS/create_list.py" --dataset_dir "$stage" --relative_to "$stage" \
            --list_name "$stage/${proof%.txt}" || return 1
    else
        say "$name: the archive holds no $proof, but: $(ls -m "$stage")"
        return 1
    fi
}

# fetch_list NAME URL STAGE PROOF: the list of a training set, if the images that it names are there.
fetch_list() {
    local name=$1 url=$2 stage=$3 list=$3/$4 first
    if fetch "the list of $name" "$url" "$list"; then
        rm -f "$list.url"
        IFS=$' \t\r' read -r first _ < "$list" || true
        if [[ -n $first && -f $stage/$first ]]; then return 0; fi
        say "$name: the list names $first, which the archive does not hold"
    fi
    rm -f "$list" "$list.part" "$list.url"
    return 1
}
