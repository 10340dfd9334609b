#!/usr/bin/env bash
# Copy what the book serves itself from node_modules/ to assets/vendor/ (about 3 MB).
set -euo pipefail
cd "$(dirname "$0")/.."
from=node_modules to=assets/vendor
rm -rf "$to"
mkdir -p "$to/mathjax/output/chtml/fonts" "$to/mathjax/input/tex"
# MathJax 3: the combined component, its fonts, and the TeX extensions that it loads on demand
cp $from/mathjax/es5/tex-mml-chtml.js "$to/mathjax/"
cp -r $from/mathjax/es5/output/chtml/fonts/woff-v2 "$to/mathjax/output/chtml/fonts/"
cp -r $from/mathjax/es5/input/tex/extensions "$to/mathjax/input/tex/"
# axe-core, for the accessibility test only
cp $from/axe-core/axe.min.js "$to/"
