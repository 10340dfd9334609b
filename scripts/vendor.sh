#!/usr/bin/env bash
# Copy what the book serves itself from node_modules/ to assets/vendor/ (about 6 MB).
set -euo pipefail
cd "$(dirname "$0")/.."
from=node_modules to=assets/vendor widgets=@jupyter-widgets/html-manager/dist
rm -rf "$to"
mkdir -p "$to/mathjax/output/chtml/fonts" "$to/mathjax/input/tex" "$to/$widgets"
# MathJax 3: the combined component, its fonts, and the TeX extensions that it loads on demand
cp $from/mathjax/es5/tex-mml-chtml.js "$to/mathjax/"
cp -r $from/mathjax/es5/output/chtml/fonts/woff-v2 "$to/mathjax/output/chtml/fonts/"
cp -r $from/mathjax/es5/input/tex/extensions "$to/mathjax/input/tex/"
# ipywidgets without a kernel; its fonts are asked for from two places
cp $from/requirejs/require.js "$to/"
cp $from/$widgets/embed-amd.js $from/$widgets/*.woff2 "$to/$widgets/"
cp $from/$widgets/*.woff2 "$to/@jupyter-widgets/"
cp $from/anywidget/dist/index.js "$to/anywidget.js"
# axe-core, for the accessibility test only
cp $from/axe-core/axe.min.js "$to/"
