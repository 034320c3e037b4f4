#!/usr/bin/env bash
# Softmax, NormSoftmax, CosFace and ArcFace at equal budget on one processor: the figures of LOG.md, by the product's
# own commands. Trained on people of CFP who are not in LFW, tested on LFW View 2 and BLUFR.
# Usage: bench/ordering.sh FOLDER_WITH_data [OUTPUT_FOLDER] [SEEDS]     about 75 minutes on one core; resumable
set -euo pipefail
data=${1:?name the folder that holds data/lfw and data/cfp}/data
out=${2:-build/ordering}
seeds=${3:-1 2 3}
mkdir -p "$out"
export OMP_NUM_THREADS=1
here=$(cd "$(dirname "$0")" && pwd)
ln -sfn "$(cd "$data" && pwd)/cfp" "$out/cfp"
export LINEAMENT_DATA=$out
[ -f "$out/cfp_people_in_lfw.csv" ] || python "$here/shared_people.py" "$1" "$out"
# Our own detector and alignment, once for all networks.
[ -f "$out/lfw112.zip" ] || lineament train prepare "$data/lfw/lfw160.zip" -o "$out/lfw112.zip" --lossless
for seed in $seeds; do
  for head in softmax normsoftmax cosface arcface; do
    name=$head-$seed
    lineament train "recipes.cfp_small_${head}_cpu" --set "seed=$seed" --set save_every=0 -o "$out/$name"
    last=$(printf '%s\n' "$out/$name"/step-* | tail -1)
    [ -d "$out/$name/pack" ] || lineament export "$last" -o "$out/$name/pack" --name "$name"
    lfw=(--model "$out/$name/pack" --crops aligned --images "$out/lfw112.zip" --templates "$out/$name/lfw.templates")
    lineament evaluate pairs "$data/lfw/pairs.txt" "${lfw[@]}" -o "$out/$name/view2.json" --name "LFW View 2"
    lineament evaluate openset --blufr "$data/lfw/blufr.json.gz" "${lfw[@]}" -o "$out/$name/blufr.json"
    lineament train angles "$last" --data "$out/cfp/cfp112.zip" --json > "$out/$name/angles.json"
  done
done
python "$here/ordering_table.py" "$out"
