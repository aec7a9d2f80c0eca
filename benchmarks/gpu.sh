#!/usr/bin/env bash
# Builds, checks and times dialoom on a CUDA machine, in one run of under 10 minutes.
#
#   benchmarks/gpu.sh [OUT_DIR]          a GPU with 80 GB or more for all rows, 24 GB for some
#   benchmarks/gpu.sh --smoke [OUT_DIR]  the same code with tiny shapes, on a CPU too
#
# Leaves OUT_DIR/gpu.md: date, hardware, commit, checks and figures, for benchmarks/results/.
set -euo pipefail
cd "$(dirname "$0")/.."
smoke=()
if [[ "${1:-}" == "--smoke" ]]; then
    smoke=(--smoke)
    shift
fi
out="${1:-${OUT:-gpu-results}}"
mkdir -p "$out"
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
export PYTORCH_ALLOC_CONF=expandable_segments:True
if ! python -c "import dialoom, torch" 2>/dev/null; then
    python -m pip install -q -e . || { echo "dialoom cannot be installed here" >&2; exit 2; }
fi
{
    echo "Commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)."
    echo
    python benchmarks/gpu.py "${smoke[@]}"
} 2>&1 | tee "$out/gpu.md"
