#!/usr/bin/env bash
# Performs the Dockerfile's steps without a container engine: the same commands, in a fresh folder
# and a fresh virtual environment. Then it serves from there with the embedded store, asks for
# health, and stops. Health needs no answer from upstream, so nothing listens there.
# It needs Python 3.11+ with venv (PYTHON names it) and a package registry.
set -euo pipefail

sources=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
server=""
cleanup() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

python() { "${PYTHON:-python3}" "$@"; }
copy() { # SOURCE... TARGET, as COPY: sources from the repository, the target in the work folder
    local target=${*: -1}
    mkdir -p "$(dirname "$work/build/$target")"
    (cd "$sources" && cp -r "${@:1:$#-1}" "$work/build/$target")
}

PREFIX=$work/opt/contextbridge
unset PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
mkdir -p "$work/build"
cd "$work/build"
set -x

# BEGIN the Dockerfile's build stage
python -m venv tools
python -m venv --without-pip "$PREFIX"
copy requirements/server.txt requirements/server.txt
tools/bin/pip --python "$PREFIX/bin/python" install --require-hashes --only-binary :all: \
    --requirement requirements/server.txt
copy deploy/build-requirements.txt deploy/build-requirements.txt
tools/bin/pip install --require-hashes --only-binary :all: \
    --requirement deploy/build-requirements.txt
copy pyproject.toml README.md ./
copy clients/python clients/python
copy server server
tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels ./clients/python .
tools/bin/pip --python "$PREFIX/bin/python" install --no-deps --no-index wheels/*.whl
mkdir -m 700 data
# END

cd "$work"
[[ ! -e $PREFIX/bin/pip ]] # Nothing that installs is left in what is shipped.
export PATH=$PREFIX/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 GRPC_ENABLE_FORK_SUPPORT=0
export CONTEXTBRIDGE_DATA_DIR=$work/build/data
contextbridge --version
if "$PREFIX/bin/python" -c "import aiohttp"; then exit 1; fi # Only the emulator needs it.
if without=$(contextbridge serve --upstream emulator 2>&1); then exit 1; fi
[[ $without == *'pip install "contextbridge-server[emulator]"' ]]
contextbridge serve --upstream http://127.0.0.1:9 --upstream-api-key unused \
    --listen "unix:$work/socket" &
server=$!
for _ in $(seq 30); do
    if contextbridge healthcheck --target "unix:$work/socket"; then
        [[ -S $CONTEXTBRIDGE_DATA_DIR/valkey.sock ]] # The store is there that the wheel brought.
        kill -TERM "$server"
        wait "$server" # Its exit code is ours.
        server=""
        [[ -s $(echo "$CONTEXTBRIDGE_DATA_DIR"/appendonlydir/*.manifest) ]]
        set +x
        echo "the image's steps work"
        exit 0
    fi
    sleep 1
done
set +x
echo "the server did not become healthy" >&2
exit 1
