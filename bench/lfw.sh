#!/usr/bin/env bash
# The default pack on LFW and CFP: every figure of LOG.md, and the cards it ships with, by the product's own commands.
# Usage: bench/lfw.sh FOLDER_WITH_data [OUTPUT_FOLDER]      about 20 minutes on two cores; resumable
#
# Data: Huang, Ramesh, Berg, Learned-Miller, "Labeled Faces in the Wild", UMass TR 07-49, 2007 (13,233 pictures cropped
# without loss to the central 160×160 pixels; pairs.txt; BLUFR's splits, Liao et al., IJCB 2014); Sengupta et al.,
# "Frontal to Profile Face Verification in the Wild", WACV 2016 (aligned 112×112 crops; 130 pairs of FF are listed twice).
set -euo pipefail
data=${1:?name the folder that holds data/lfw and data/cfp}/data
out=${2:-build}
mkdir -p "$out"
lfw=(--images "$data/lfw/lfw160.zip" --templates "$out/lfw.templates")
mirror=(--images "$data/lfw/lfw160.zip" --templates "$out/lfw-mirror.templates" --mirror sum_raw)
cfp=(--images "$data/cfp/cfp112.zip" --crops aligned --allow-duplicates --templates "$out/cfp.templates")
errors=(--exclude "$(dirname "$0")/lfw_label_errors.csv")
rates=(--fmr 1e-3 --fmr 1e-4 --fmr 1e-5)

lineament evaluate pairs "$data/lfw/pairs.txt" "${lfw[@]}" -o "$out/lfw-view2.json" --name "LFW View 2"
lineament evaluate folder "$data/lfw/lfw160.zip" --templates "$out/lfw.templates" -o "$out/lfw-folder.json" --name "LFW, all pairs"
lineament evaluate openset --blufr "$data/lfw/blufr.json.gz" "${lfw[@]}" -o "$out/blufr.json"
lineament evaluate pairs "$data/cfp/pairs.csv" --protocol FF "${cfp[@]}" -o "$out/cfp-ff.json" --name CFP-FF
lineament evaluate pairs "$data/cfp/pairs.csv" --protocol FP "${cfp[@]}" -o "$out/cfp-fp.json" --name CFP-FP
lineament calibrate "${rates[@]}" "${lfw[@]}" --name LFW -o "$out/cards-all.json"
lineament calibrate "${rates[@]}" "${lfw[@]}" --name LFW "${errors[@]}" -o "$out/cards-clean.json"
lineament calibrate --fpir 1e-2 --gallery-size 1000 "${lfw[@]}" --name LFW "${errors[@]}" -o "$out/card-search.json"
lineament calibrate "${rates[@]}" "${mirror[@]}" --name LFW "${errors[@]}" -o "$out/cards-mirror.json"
lineament evaluate pairs "$data/lfw/pairs.txt" "${mirror[@]}" -o "$out/lfw-view2-mirror.json" --name "LFW View 2"

# For contrast, another pack where one is named: FACES=folder with a detector and a recognition network.
if [ -n "${FACES:-}" ]; then
  other=(--model "$FACES" --border 0.5 --templates "$out/lfw-other.templates")
  lineament evaluate folder "$data/lfw/lfw160.zip" "${other[@]}" -o "$out/lfw-other-folder.json" --name "LFW, all pairs"
  lineament evaluate pairs "$data/lfw/pairs.txt" --images "$data/lfw/lfw160.zip" "${other[@]}" -o "$out/lfw-other-view2.json" --name "LFW View 2"
  lineament evaluate openset --blufr "$data/lfw/blufr.json.gz" --images "$data/lfw/lfw160.zip" "${other[@]}" -o "$out/blufr-other.json"
  crops=(--images "$data/cfp/cfp112.zip" --crops aligned --allow-duplicates --model "$FACES" --templates "$out/cfp-other.templates")
  lineament evaluate pairs "$data/cfp/pairs.csv" --protocol FF "${crops[@]}" -o "$out/cfp-other-ff.json" --name CFP-FF
  lineament evaluate pairs "$data/cfp/pairs.csv" --protocol FP "${crops[@]}" -o "$out/cfp-other-fp.json" --name CFP-FP
  lineament compare-models "$out/lfw-view2.json" "$out/lfw-other-view2.json"
  lineament compare-models "$out/lfw-folder.json" "$out/lfw-other-folder.json" --replicates 500
fi
