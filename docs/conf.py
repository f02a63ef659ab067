"""How the documentation is built: sphinx-build docs docs/_build."""

from importlib.metadata import version as installed_version

project = "nvframe"
author = "the nvframe founders"
copyright = "2026, the nvframe founders"
release = version = installed_version("nvframe")

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
html_theme = "furo"
html_title = f"nvframe {release}"
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
default_role = "code"
