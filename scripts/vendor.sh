#!/usr/bin/env bash
# Copy what the book serves itself from node_modules/ to assets/vendor/ (about 3 MB).
set -euo pipefail
cd "$(dirname "$0")/.."
from=node_modules to=assets/vendor
rm -rf "$to"
mkdir -p "$to/mathjax/output/chtml/fonts" "$to/mathjax/input/tex" "$to/mathjax/a11y"
# MathJax 3: the parts that _config.yml loads, their fonts, and the TeX extensions that they load on demand
cp $from/mathjax/es5/{startup,core}.js "$to/mathjax/"
cp $from/mathjax/es5/input/tex.js "$to/mathjax/input/"
cp $from/mathjax/es5/output/chtml.js "$to/mathjax/output/"
cp $from/mathjax/es5/a11y/assistive-mml.js "$to/mathjax/a11y/"
cp -r $from/mathjax/es5/output/chtml/fonts/{tex.js,woff-v2} "$to/mathjax/output/chtml/fonts/"
cp -r $from/mathjax/es5/input/tex/extensions "$to/mathjax/input/tex/"
# axe-core, for the accessibility test only
cp $from/axe-core/axe.min.js "$to/"
