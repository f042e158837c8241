#!/usr/bin/env bash
# What a GPU does, in ten minutes: exactness beside float32 on the CPU, lists a second, tokens a second, memory; with two
# GPUs or more also a short training on all of them, whole on each and cut. Results go to standard output as JSON lines.
#
#   benchmarks/gpu.sh                  # the shipped adapter on cuda
#   MODEL=runs/mine benchmarks/gpu.sh  # your checkpoint; its tables must be at hand
#   benchmarks/gpu.sh --dry            # the same on the CPU with tiny sizes, to see that it runs
set -euo pipefail
cd "$(dirname "$0")/.."

recommender=${RECOMMENDER:-recommender}
model=${MODEL:-movielens-100k}
device=cuda users=512 examples=512 rounds=5
if [[ ${1:-} == --dry ]]; then
  device=cpu users=4 examples=4 rounds=1
elif [[ $# -gt 0 ]]; then
  echo "usage: $0 [--dry]" >&2
  exit 2
fi
sizes=(--device "$device" --users "$users" --examples "$examples" --rounds "$rounds" --json --quiet)

echo "# the machine" >&2
$recommender env --json
echo "# lists, losses and gradients beside float32 on the CPU; speed and memory" >&2
$recommender bench device "$model" "${sizes[@]}"
echo "# the same, with layers computed again in the backward pass" >&2
$recommender bench device "$model" "${sizes[@]}" --gradient-checkpointing

gpus=0
[[ $device == cpu ]] || gpus=$(nvidia-smi --list-gpus | wc -l)
if ((gpus > 1)); then
  runs=$(mktemp -d)
  trap 'rm -rf "$runs"' EXIT
  for layout in ddp fsdp2; do
    echo "# a short training on $gpus GPUs: $layout" >&2
    accelerate launch --config_file "adapters/accelerate/$layout.yaml" --num_processes "$gpus" -m recommender train \
      --config adapters/movielens-100k.yaml --output "$runs/$layout" --json --set base.device=cuda \
      --set training.teacher=null --set training.stages.0.max_steps=60 --set training.stages.1.max_steps=20 \
      --set training.stages.2.max_steps=20
    tail -n 3 "$runs/$layout.training/log.csv" >&2
  done
fi
