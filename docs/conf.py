"""Sphinx's configuration: `bash scripts/docs.sh` builds the pages."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "convergence"
author = "The authors of convergent-learning"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated"]
exclude_patterns = ["jupyter_execute", "_build"]
html_theme = "furo"
html_title = "convergence"
html_static_path = ["_static"]
html_css_files = ["site.css"]
copyright = author
html_copy_source = False
nb_execution_mode = "off"  # the outputs are stored; a test runs the code
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autodoc_typehints = "none"
