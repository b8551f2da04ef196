"""Plans of the CIAO engine as shell scripts, which a user can read, change and run without `run`.

A script does what `run` does by CIAO, step by step, in the places of the files. What `run` adds is what a script has
not: files that appear whole, steps that are not done twice, and observations side by side.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod
from pathlib import Path
from typing import TypeAlias

from chandra_bin import __version__
from chandra_bin.ciao import Command, File, Filter, Part, Temporary, is_plain_path, parts_of
from chandra_bin.errors import InputError, OutputError, warn
from chandra_bin.fits.outputs import Outputs
from chandra_bin.pipeline.archive import ObservationFiles
from chandra_bin.pipeline.config import Settings
from chandra_bin.pipeline.layout import Layout
from chandra_bin.pipeline.reprocessing import why_not
from chandra_bin.pipeline.runner import Pipeline

from . import plan
from . import steps as ciao_steps
from .script_texts import CIAO, EACH_LIST, FUNCTIONS, HEAD, MARK

_PlanOf = Callable[[Layout, Settings, ObservationFiles], plan.Plan]
_ScriptStep: TypeAlias = "plan.Step | _Unless | _Link"

# Shell variables in file names: the number of a bin, and of a part of the bins.
_NUMBER = "${number}"
_PART = "${part}"
_VARIABLE = re.compile(r"(\$\{(?:number|part|lc_binsize)\})")
_PLAIN = re.compile(r"[\w@%+=:,./-]+")


@dataclass(frozen=True)
class _Unless:
    """Long steps, which are skipped if ``made`` is newer than ``source``.

    A script is run again after its regions were edited, and nothing of these depends on regions.
    """

    made: Path
    source: Path
    steps: plan.Plan


@dataclass(frozen=True)
class _Link:
    """A link to a folder, unless its name exists."""

    link: Path
    target: Path


def write_scripts(work: Path, folder: Path) -> list[Path]:
    """Write the scripts of a configured folder, and return them in the order of their steps.

    Raises `InputError` for a configuration that CIAO cannot do, and `OutputError`; scripts of an earlier call are
    replaced, other files are not.
    """
    pipeline = Pipeline(work)
    _check_folder(pipeline.work)
    for files in pipeline.archive:
        if why := why_not(files):
            warn(why)
    written = {folder / name: text for name, text in _scripts(pipeline)}
    for path in written:
        if path.exists() and not _is_ours(path):
            raise OutputError(f"{path}: is there already, and was not written by chandra-bin: move it, or give another "
                              "folder")
    with Outputs(written, inputs=[pipeline.config.file], clobber=True) as outputs:
        for path, text in written.items():
            outputs.write(path, text.encode())
    for path in written:
        path.chmod(path.stat().st_mode | 0o111)
    return list(written)


def _check_folder(work: Path) -> None:
    """Raise `InputError` if the scripts could not run in the folder, since their paths are relative to it."""
    if not is_plain_path(work):
        raise InputError(f"{work}: scripts cannot be written for this folder, as CIAO's chandra_repro, blanksky, "
                         "blanksky_image and specextract fail where the path of the current folder holds a blank or "
                         "another odd character: rename the folder, move it, or use 'chandra-bin run'")


def _is_ours(path: Path) -> bool:
    try:
        return MARK.encode() in path.read_bytes()[:1000]
    except OSError:
        return False


def _scripts(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    layout, settings, archive = pipeline.layout, pipeline.settings, pipeline.archive
    merged = tuple(archive)

    def each(plan_of: _PlanOf) -> list[tuple[str, Sequence[_ScriptStep]]]:
        return [(f"ObsID {files.obsid}", plan_of(layout, settings, files)) for files in archive]

    def step_3() -> list[tuple[str, Sequence[_ScriptStep]]]:
        return [(f"ObsID {files.obsid}", [
            _Unless(layout.obs(files.obsid).sources, layout.obs(files.obsid).events,
                    ciao_steps.images(layout, settings, files)),
            *ciao_steps.clean(layout, settings, files)]) for files in archive]

    names: dict[str, tuple[str, list[tuple[str, Sequence[_ScriptStep]]]]] = {
        "preprocess_data.sh": ("Step 2: reprocess all observations with today's calibration.",
                               each(_reprocess)),
        "deflare_point_sources.sh": ("Step 3: sources, good times without flares, clean images and backgrounds.",
                                     step_3()),
        "merge_data.sh": ("Steps 4 and 5: all observations on one tangent plane, and the scaled flux.",
                          [("", [*ciao_steps.merge(layout, settings, merged), *ciao_steps.flux(layout, settings),
                                 _Link(layout.merged_link, layout.merged)])]),
        "crop_data.sh": ("Step 6: point sources removed, images cropped. Look at the regions that are proposed, edit "
                         "them, and run it again.",
                         [("", [_Unless(layout.raw_sources, layout.image, ciao_steps.sources(layout, settings)),
                                *ciao_steps.crop(layout, settings)])]),
        "contour_binning.sh": ("Step 7: contour binning.", [("", ciao_steps.bins(layout, settings))]),
        "regCoordChange.sh": ("Step 8: regions of the bins as RA and Dec.",
                              [("", ciao_steps.sky_regions(layout, settings))]),
    }
    if settings.responses:
        names["extract_spectra.sh"] = ("Step 8: spectrum and responses of each bin in each observation.",
                                       each(ciao_steps.spectra))
    for name, (about, plans) in names.items():
        writer = _Writer(pipeline.work)
        body = [block for heading, todo in plans for block in writer.blocks(heading, todo)]
        yield name, writer.head(about, settings.name) + "\n".join(body) + "\n"


def _reprocess(layout: Layout, settings: Settings, files: ObservationFiles) -> plan.Plan:
    """Return step 2; the script begins with what chandra_repro would refuse of this observation."""
    why = why_not(files)
    return [*([plan.Warn(why)] if why else []), *ciao_steps.reprocess(layout, settings, files)]


@dataclass
class _Writer:
    """Writes one script. Paths in the folder of the pipeline are relative to it."""

    work: Path
    programs: dict[str, None] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)
    variables: dict[Filter, str] = field(default_factory=dict)
    """That are set for all that follows."""
    count: int = 0
    heading: str = ""
    """Heading of the next steps, with which their warnings begin."""

    def head(self, about: str, name: str) -> str:
        script = "script=$(cd -- \"$(dirname -- \"$0\")\" && pwd)/${0##*/}\n" if "is_newer" in self.functions else ""
        words = {"about": about, "mark": MARK, "version": __version__, "name": name, "work": _quoted(str(self.work)),
                 "needed": " ".join(self.programs), "script": script}
        parts = [HEAD.format(**words)]
        if set(self.programs) - {"chandra-bin"}:
            parts.append(CIAO)
        parts += [text for name, text in FUNCTIONS.items() if name in self.functions]
        return "\n".join(parts)

    def blocks(self, heading: str, todo: Sequence[_ScriptStep]) -> Iterator[str]:
        self.heading = heading
        if heading:
            yield f"\necho {_quoted(heading)}"
        for step in todo:
            yield "\n" + "\n".join(self._all([step]))

    @singledispatchmethod
    def statements(self, step: _ScriptStep) -> list[str]:
        """Return commands that each run only if those before it succeeded."""
        raise NotImplementedError(type(step))

    @statements.register
    def _(self, command: Command) -> list[str]:
        self.programs[command.tool] = None
        before: list[str] = []
        words = [self._word((f"{name}=" if name else "", *parts_of(value)), before)
                 for name, value in command.parameters.items()]
        check = _wrapped(["made", *(self.path(path) for path in command.outputs)])
        line = _wrapped(["ciao", command.tool, *words])
        # Otherwise a file of an earlier run would count as an output of the tool.
        gone = _wrapped(["rm -f --", *(self.path(path) for path in command.outputs)])
        return [*before, *self._folders(*command.outputs), gone, f"# {command.purpose}\n{line}", check]

    @statements.register
    def _(self, step: plan.PythonStep) -> list[str]:
        self.programs["chandra-bin"] = None
        before: list[str] = []
        words = list(map(parts_of, step.words))
        made = [each.path for word in words for each in word if isinstance(each, File) and each.is_output]
        texts = [self._word(word, before) for word in words]
        self.variables = {part: name for part, name in self.variables.items()
                          if (part.when or part.region).path not in made}
        return [*before, *self._folders(*made), f"# {step.purpose}\n{_wrapped(['chandra-bin', *texts])}"]

    @statements.register
    def _(self, step: plan.Fallback) -> list[str]:
        made = " ".join(self.path(path) for path in _outputs(step.steps))
        instead = [self._warning(step.warning), f"rm -f -- {made}", *self._branch(step.instead)]
        tried = _indented(_chained(self._branch(step.steps)))
        return [f"if ! {{\n{tried}\n}}; then\n{_indented(_chained(instead))}\nfi"]

    @statements.register
    def _(self, step: plan.IfFiles) -> list[str]:
        if step.has_shapes:
            self.functions.add("has_shapes")
        test = " && ".join(f"has_shapes {self.path(path)}" if step.has_shapes else f"[ -e {self.path(path)} ]"
                           for path in step.files)
        lines = [f"if {test}; then", _indented(_chained(self._branch(step.steps)))]
        if step.otherwise:
            lines += ["else", _indented(_chained(self._branch(step.otherwise)))]
        return ["\n".join([*lines, "fi"])]

    @statements.register
    def _(self, step: plan.Warn) -> list[str]:
        return [self._warning(step.text)]

    @statements.register
    def _(self, step: plan.CopyFile) -> list[str]:
        program = "mv -f" if step.moves else "cp"
        return [*self._folders(step.target), f"{program} -- {self.path(step.source)} {self.path(step.target)}"]

    @statements.register
    def _(self, step: plan.WriteLines) -> list[str]:
        lines = " ".join(map(_quoted, step.lines))
        return [*self._folders(step.target), f"printf '%s\\n' {lines} >{self.path(step.target)}"]

    @statements.register
    def _(self, step: plan.CopyInto) -> list[str]:
        copies = [_wrapped(["cp -L --", *(self.path(path) for path in paths), self.path(step.target / folder, "/")])
                  for folder, paths in step.files.items() if paths]
        folders = " ".join(self.path(step.target / folder) for folder in step.files)
        return [f"# copies: the tool unpacks files where they are\nrm -rf -- {self.path(step.target)}",
                f"mkdir -p -- {folders}", *copies]

    @statements.register
    def _(self, step: plan.RemoveFolder) -> list[str]:
        return [f"rm -rf -- {self.path(step.folder)}"]

    @statements.register
    def _(self, step: plan.ShortenLists) -> list[str]:
        self.functions.add("local_names")
        return [f"local_names {self.path(step.folder)}"]

    @statements.register
    def _(self, step: _Unless) -> list[str]:
        self.functions.add("is_newer")
        body = _indented("\n".join(self._branch(step.steps)))
        return [f"if ! is_newer {self.path(step.made)} {self.path(step.source)}; then\n{body}\nfi"]

    @statements.register
    def _(self, step: plan.WithMeasured) -> list[str]:
        self.programs["chandra-bin"] = None
        words = [self._word(parts_of(word), []) for word in step.words]
        line = f"{step.variable}=$({' '.join(['chandra-bin', *words])})"
        return [f"# {step.purpose}\n{line}", *self._all(step.of(f"${{{step.variable}}}"))]

    @statements.register
    def _(self, step: _Link) -> list[str]:
        link = self.path(step.link)
        return [f"[ -e {link} ] || [ -L {link} ] || ln -s -- {_quoted(step.target.name)} {link}"]

    @statements.register
    def _(self, step: plan.ForEachList) -> list[str]:
        source, roots = (step.folder / f"{kind}_{_PART}.list" for kind in ("source", "root"))
        tool = step.of(source, roots, ())
        self.programs[tool.tool] = None
        before: list[str] = []
        words = [self._word((f"{name}=", *parts_of(value)), before) for name, value in tool.parameters.items()]
        call = _indented(_wrapped(["ciao", tool.tool, *words]))
        files = " ".join(f'"${{root}}{ending}"' for ending in step.endings)
        alone = _indented("\n".join(self._branch(step.alone(_NUMBER))))
        return [EACH_LIST.format(lists=self.path(step.folder, "/"), purpose=tool.purpose, call=call.lstrip(),
                                  files=files, alone=_indented(_indented(alone)))]

    def _all(self, steps: Iterable[_ScriptStep]) -> list[str]:
        return [each for step in steps for each in self.statements(step)]

    def _branch(self, steps: Iterable[plan.Step]) -> list[str]:
        """Return conditional steps; folders and variables that they make are not available to later steps."""
        folders, variables = self.folders.copy(), self.variables.copy()
        statements = self._all(steps)
        self.folders, self.variables = folders, variables
        return statements

    def _warning(self, text: str) -> str:
        about = f"{self.heading}: " if self.heading else ""
        return f"echo {_quoted(f'warning: {about}{text}')} >&2"

    def path(self, path: Path, ending: str = "") -> str:
        return _quoted(self._plain(path) + ending)

    def _plain(self, path: Path) -> str:
        name = os.path.relpath(path, self.work) if path.is_relative_to(self.work) else str(path)
        return f"./{name}" if name.startswith("-") else name

    def _word(self, parts: Iterable[Part], before: list[str]) -> str:
        """Return one word of a command line; lines that set its variables are added to ``before``."""
        parts = [each for each in parts if each != ""]
        texts = [self._part(each, before) for each in parts]
        if len(parts) == 1 and isinstance(parts[0], Filter):
            return f'${{{texts[0][2:-1]}:+"{texts[0]}"}}'
        text = "".join(texts)
        return text if _PLAIN.fullmatch(text) else f'"{text}"' if text else '""'

    def _part(self, part: Part, before: list[str]) -> str:
        """Return a part as text for double quotes."""
        if isinstance(part, str):
            return _escaped(part)
        if isinstance(part, Temporary):
            return "$own/tmp"
        if isinstance(part, File):
            return _escaped(self._plain(part.path)) + part.ending
        if part not in self.variables:
            before.append(self._variable(part))
        return f"${{{self.variables[part]}}}"

    def _variable(self, part: Filter) -> str:
        """Return the lines that set a variable to a filter or to an empty text."""
        tested = (part.when or part.region).path
        if tested.suffix == ".reg":
            self.functions.add("has_shapes")
            test = f"has_shapes {self.path(tested)}"
        else:
            test = f"[ -e {self.path(tested)} ]"
        self.count += 1
        self.variables[part] = name = f"part{self.count}"
        text = _escaped(part.before + self._plain(part.region.path) + part.after)
        return f'{name}=\'\'\nif {test}; then\n    {name}="{text}"\nfi'

    def _folders(self, *files: Path) -> list[str]:
        """Return the lines that make the folders of outputs, once in a script."""
        new = [folder for folder in dict.fromkeys(path.parent for path in files)
               if folder not in self.folders and folder != self.work]
        self.folders.update(new)
        return [f"mkdir -p -- {' '.join(self.path(folder) for folder in new)}"] if new else []



def _chained(statements: Iterable[str]) -> str:
    """Return commands joined to one, since conditions disable ``set -e``."""
    return " &&\n".join(statements)


def _outputs(steps: Iterable[plan.Step]) -> Iterator[Path]:
    """Return the outputs of tools, which a failed tool may leave incomplete."""
    for step in steps:
        if isinstance(step, Command):
            yield from step.outputs
        elif isinstance(step, plan.IfFiles):
            yield from dict.fromkeys(_outputs([*step.steps, *step.otherwise]))


def _escaped(text: str) -> str:
    """Return a text in double quotes; variables of steps stay variables."""
    return "".join(piece if _VARIABLE.fullmatch(piece) else re.sub(r'(["\\$`])', r"\\\1", piece)
                   for piece in _VARIABLE.split(text))


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else f'"{_escaped(text)}"'


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _wrapped(words: Sequence[str]) -> str:
    """Return a command on several lines."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) > 110:
            lines.append("   ")
        lines[-1] += f" {word}"
    return " \\\n".join(lines)
