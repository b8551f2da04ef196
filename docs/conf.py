"""How Sphinx makes the site: ``make docs``. The pages are Markdown that also reads well on GitHub.

Their links lead to files: to other pages, and out of this folder. This module adapts them for Sphinx.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config, NumpyDocstring

ROOT = Path(__file__).resolve().parents[1]
GITHUB = "https://github.com/chandra-bin/chandra-bin"

project = "chandra-bin"
author = "The chandra-bin developers"
project_copyright = "the chandra-bin developers"
release = metadata.version("chandra-bin")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax",
              "sphinx-mathjax-offline", "sphinx_gallery.gen_gallery", "sphinx_click"]
exclude_patterns = ["gallery/*.ipynb", "gallery/**/*.md5", "gallery/**/*.ipynb", "gallery/**/*.py", "gallery/**/*.zip"]
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*")]  # types in signatures: names of arrays, and of other packages
# Notebooks are run, and a cell that fails ends the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
suppress_warnings = ["ref.python"]  # fields of one name, "counts" say, in several classes
html_theme = "furo"
html_title = f"chandra-bin {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4

default_role = "py:obj"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_typehints = "none"  # as_written has them
python_maximum_signature_line_length = 100

# Pages that are files elsewhere in the checkout.
ELSEWHERE = {"changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md", "security": "SECURITY.md"}
# Where links out of this folder lead on the site; all others lead to the repository.
INSIDE = {"README.md": "index.md", "examples/gallery": "gallery/index.rst",
          **{file: f"{page}.md" for page, file in ELSEWHERE.items()}}

# Links that are downloads on the site; on GitHub they lead to the file.
DOWNLOAD = re.compile(r"\[download\]\(([\w./-]+)\)")

# A parameter in a docstring, and how lists of them are shown.
PARAMETER = re.compile(r"^([\w*]+(?:, [\w*]+)*) : (.+)")
NAPOLEON = Config(napoleon_use_param=False, napoleon_use_rtype=False,
                  napoleon_custom_sections=[("Fields", "params_style")])

sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples/gallery"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "plot_gallery": True,
    "abort_on_example_error": True,
    "min_reported_time": 3600,  # of the machine, not of the program
    "write_computation_times": False,
    "reference_url": {},
}


def made_of_files(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Takes pages from elsewhere in the checkout, turns links to files into those of the site, and adds its tree."""
    text = source[0]
    if docname in ELSEWHERE:
        text = re.sub(r"\]\((?!\w+:|#)", "](../", (ROOT / ELSEWHERE[docname]).read_text()).replace("](../docs/", "](")
    text = DOWNLOAD.sub(r"{download}`download <\1>`", text)
    up = "../" * (docname.count("/") + 1)
    text = re.sub(rf"\]\({re.escape(up)}([\w./-]+)", lambda link: f"]({inside(link[1], up[3:])}", text)
    source[0] = text + "".join(toctrees(text)) if docname in ("index", "reference/api/index") else text


def inside(file: str, up: str) -> str:
    """Where a link to a file of the checkout leads."""
    if file.startswith("examples/gallery/"):
        return f"{up}gallery/{Path(file).stem}.rst"
    return up + INSIDE[file] if file in INSIDE else f"{GITHUB}/blob/main/{file}"


def toctrees(text: str) -> Iterator[str]:
    """The tree below an index: a part for each of its sections, of the pages that its table links to."""
    parts = ["", *re.split(r"^## (.+)\n", text, flags=re.MULTILINE)]
    for title, section in zip(parts[::2], parts[1::2], strict=True):
        pages = "\n".join(re.findall(r"^\| \[.*?\]\(([\w./-]+)\.(?:md|rst|ipynb)\)", section, re.MULTILINE))
        caption = f":caption: {title}\n" if title else ""
        yield f"\n```{{toctree}}\n:hidden:\n{caption}\n{pages}\n```\n" if pages else ""


def numpy_docstring(_app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Lists of parameters, by napoleon, made such as it wants them.

    ``name : what it is``: what follows the colon is no type, as it takes it, but text. Text after the list is not one
    of them: it wants two blank lines there. Attributes may come several in a line, as parameters do. And what is
    indented in the text, formulas, stays as it is.
    """
    if what in ("attribute", "property"):
        return
    made: list[str] = []
    listed = False
    for before, line in zip(["", *lines], lines, strict=False):
        if line and not line.strip("-"):
            listed = True
            if before == "Attributes":
                made[-1] = "Fields"
        elif listed and line and not before and not line[0].isspace():
            made.append("")
            listed = False
        elif not listed and line.startswith("    ") and not before:
            made += ["::", ""]
        made += PARAMETER.sub(r"\1\n    \2", line).split("\n") if listed else [line]
    lines[:] = str(NumpyDocstring(made, NAPOLEON, None, what, name, obj, options)).split("\n")


def as_written(_app: Sphinx, what: str, _name: str, obj: Any, _options: Any, _signature: str | None,
               _returns: str | None) -> tuple[str, str | None] | None:
    """The signature of a function, or the fields of a dataclass, as they are written.

    Evaluated, as autodoc has them, ``ArrayLike`` and ``NDArray`` fill half a page.
    """
    if what not in ("function", "method", "class", "exception"):
        return None
    if what in ("class", "exception") and not hasattr(obj, "__dataclass_fields__"):
        obj = vars(obj).get("__init__")
    try:
        node = ast.parse(textwrap.dedent(inspect.getsource(obj))).body[0]
    except (OSError, TypeError):
        return None
    for part in ast.walk(node):  # names in quotes, for type checkers
        for name in ("annotation", "returns"):
            quoted = getattr(part, name, None)
            if isinstance(quoted, ast.Constant) and isinstance(quoted.value, str):
                setattr(part, name, ast.parse(quoted.value, mode="eval").body)
    if isinstance(node, ast.ClassDef):
        fields = [ast.unparse(part) for part in node.body if isinstance(part, ast.AnnAssign)]
        return f"({', '.join(fields)})", None
    if not isinstance(node, ast.FunctionDef):
        return None
    if what != "function":
        node.args.args = node.args.args[1:]  # self
    return f"({ast.unparse(node.args)})", ast.unparse(node.returns) if node.returns else None


def by_last_name(app: Sphinx, env: BuildEnvironment, node: nodes.Element, content: nodes.TextElement
                 ) -> nodes.reference | None:
    """Resolves ``InputError`` wherever it is said: the object of that last name, if it is documented."""
    if node.get("refdomain") != "py":
        return None
    objects = env.domains.python_domain.objects
    ends = f".{node['reftarget'].removeprefix('np.')}"
    found = sorted((name for name in objects if name.endswith(ends)), key=len)
    if not found:
        return None
    entry = objects[found[0]]
    uri = app.builder.get_relative_uri(node.get("refdoc", env.docname), entry.docname)
    link = nodes.reference("", "", internal=True, refuri=f"{uri}#{entry.node_id}", reftitle=found[0])
    link += content
    return link


def plain_names(_app: Sphinx, _context: Any, lines: list[str]) -> None:
    """Escape names of files in help texts of commands, such as ``xaf_*.reg``: they would be emphasis and links."""
    lines[:] = [re.sub(r"((?<!\*)\*(?!\*)|_(?!\w))", r"\\\1", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("sphinx-click-process-description", plain_names)
    app.connect("sphinx-click-process-options", plain_names)
    app.connect("source-read", made_of_files)
    app.connect("autodoc-process-docstring", numpy_docstring)
    app.connect("autodoc-process-signature", as_written)
    app.connect("missing-reference", by_last_name)
