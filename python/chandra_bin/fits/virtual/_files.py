"""Files that virtual names refer to."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from chandra_bin._checks.paths import path_text
from chandra_bin.errors import InputError

from ._parse import parse_name
from ._steps import Filter, GtiTerm, MaskTerm, RegionTerm, Term, VirtualFile

Name = str | os.PathLike[str] | VirtualFile


def named_file(name: Name, folder: str | Path = "") -> VirtualFile:
    """Return the file that a name refers to: an existing file of exactly this name, else the result of `parse_name`.

    A relative path is relative to ``folder``. Paths in filters are unchanged. Raises `InputError` for ``@list``, which
    `expand_stack` reads, and `VirtualNameError`.
    """
    if isinstance(name, VirtualFile):
        return name
    text = path_text(name, "the file")
    whole = os.path.join(folder, text)
    if os.path.exists(whole):
        return VirtualFile.of(whole)
    if text.startswith("@"):
        raise InputError(f"{text} is a list, but one file is needed: in Python, give expand_stack({text!r}) of "
                         "chandra_bin.fits.virtual")
    parsed = parse_name(text)
    return replace(parsed, path=os.path.join(folder, parsed.path)) if folder else parsed


def named_files(names: Name | Sequence[Name]) -> list[VirtualFile]:
    """Return the files that one name, or several, refer to."""
    return [named_file(name) for name in ([names] if isinstance(names, str | os.PathLike | VirtualFile) else names)]


def files_in_filters(name: VirtualFile) -> list[VirtualFile]:
    """Return the region, mask and GTI files that the filters read."""
    return [named_file(term.file) for step in name.filters for term in step.terms
            if isinstance(term, RegionTerm | MaskTerm | GtiTerm) and term.file]


def with_paths(name: VirtualFile, changed: Callable[[str], str], folder: str | Path = "") -> VirtualFile:
    """Return a name with its path and the paths in its filters changed; those in filters are relative to ``folder``."""

    def of_term(term: Term) -> Term:
        if isinstance(term, RegionTerm | MaskTerm | GtiTerm) and term.file:
            return replace(term, file=with_paths(named_file(term.file, folder), changed, folder))
        return term

    steps = (replace(step, terms=tuple(map(of_term, step.terms))) if isinstance(step, Filter) else step
             for step in name.steps)
    return VirtualFile(changed(name.path), tuple(steps))
