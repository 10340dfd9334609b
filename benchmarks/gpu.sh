#!/usr/bin/env bash
# The measurement of benchmarks/gpu.py on a machine without a network.
#
#   bash benchmarks/gpu.sh wheels      where there is a network: fetch what a machine with PyTorch, transformers and PEFT lacks
#   bash benchmarks/gpu.sh [--tiny]    where the GPU is: install the wheels beside its packages, and measure
#
# PYTHON: the interpreter with PyTorch there (python3). TARGET: its version, for the wheels (3.12).
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
LACKING=(transformers trl datasets multiprocess dill pydantic pydantic_core typing-inspection annotated-types filelock)

if [[ ${1:-} == wheels ]]; then
  mkdir -p .whl
  pinned=()
  for name in "${LACKING[@]}"; do
    pinned+=("$(grep -iE "^${name//[-_]/[-_]}==" constraints.txt)")
  done
  platforms=()
  for tag in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014 manylinux1; do platforms+=(--platform "${tag}_x86_64"); done
  "$PYTHON" -m pip download -q --no-deps --only-binary=:all: --python-version "${TARGET:-3.12}" --implementation cp \
    "${platforms[@]}" -d .whl "${pinned[@]}"
  du -sh .whl
  exit
fi

if compgen -G ".whl/*.whl" > /dev/null; then
  site=$(mktemp -d)
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl
  export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
fi
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
exec "$PYTHON" -m benchmarks.gpu "$@"
