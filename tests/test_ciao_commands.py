"""Every command that the CIAO engine can give, held against the facts of CIAO's parameters."""

import ast
import itertools
import json
import re
from pathlib import Path

import pytest

from chandra_bin.ciao import Command, File, tools
from chandra_bin.ciao._command import Filter, Temporary, parts_of
from chandra_bin.cli._background import command as background
from chandra_bin.errors import InputError
from chandra_bin.exposure.ancillary import Ancillary
from chandra_bin.pipeline.ciao import steps as ciao_steps
from chandra_bin.pipeline.ciao.plan import Fallback, ForEachList, IfFiles, WithMeasured
from chandra_bin.pipeline.ciao.scripts import write_scripts
from chandra_bin.pipeline.ciao.tiles import tasks_of
from chandra_bin.pipeline.runner import Pipeline
from chandra_bin.tasks.tiles import Tile, TilesOfObservation
from pipeline_work import configured, simulated

FACTS = {tool: {fact["name"]: fact for fact in facts["params"]}
         for tool, facts in json.loads((Path(__file__).parent / "stand_ins/params.json").read_text())["tools"].items()}
# The engine's settings that change what is sent.
CHOICES = {"check_vf_pha": (True, False), "ccd_ids": ("auto", "0:3", "5,7"), "deflare_method": ("clean", "sigma"),
           "refcoord": (None, "228.48 -59.14"), "binsize": (1, 0.5), "responses": (True,)}


class Everywhere:
    """Files are where they are named, and regions have shapes, or none has."""

    temporary = Path("/tmp/own")

    def __init__(self, shapes):
        self.shapes = shapes

    def of(self, file):
        return file.path

    def has_shapes(self, _region):
        return self.shapes


def commands_in(steps):
    """The commands of a plan, of all its branches."""
    for step in steps:
        if isinstance(step, Command):
            yield step
        elif isinstance(step, Fallback):
            yield from commands_in([*step.steps, *step.instead])
        elif isinstance(step, IfFiles):
            yield from commands_in([*step.steps, *step.otherwise])
        elif isinstance(step, WithMeasured):
            yield from commands_in(step.of("175.01616"))
        elif isinstance(step, ForEachList):
            lists = [step.folder / f"{kind}_001.list" for kind in ("source", "root")]
            yield step.of(*lists, [step.roots / f"xaf_12{ending}" for ending in step.endings])
            yield from commands_in(step.alone("12"))


def plans_of(pipeline):
    layout, settings, archive = pipeline.layout, pipeline.settings, tuple(pipeline.archive)
    for files in archive:
        for plan in (ciao_steps.reprocess, ciao_steps.images, ciao_steps.clean, ciao_steps.spectra):
            yield plan(layout, settings, files)
    yield ciao_steps.merge(layout, settings, archive)
    for plan in (ciao_steps.sources, ciao_steps.crop):
        yield plan(layout, settings)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Of both arrays and both modes."""
    folder = tmp_path_factory.mktemp("archives")
    small = {"exposure": 300.0, "counts": 500.0, "truth_photons": 1000, "blank_sky": 0.0, "obsids": 2}
    return {array: simulated(folder / array, array=array, datamode="mixed", **small) for array in "IS"}


def choices():
    """The first of each, and each other beside the first of the rest."""
    first = {name: values[0] for name, values in CHOICES.items()}
    yield first
    for name, values in CHOICES.items():
        yield from (first | {name: value} for value in values[1:])


def responses_of_tiles(folder):
    """The calls for a tile of a chip of both arrays, by either tool for the RMF, with and without bad pixels."""
    aspect = (folder / "pcad1_asol1.fits", folder / "pcad2_asol1.fits")
    for chip, tool, bad, mask in ((3, "mkacisrmf", folder / "bpix1.fits", folder / "msk1.fits"),
                                  (7, "mkrmf", None, None), (7, "mkrmf", folder / "bpix1.fits", folder / "msk1.fits")):
        tile = Tile(chip, 512, 171, 4096.5, 3900.25, 258.1, -23.4, 12)
        about = TilesOfObservation(754, folder / "evt2.fits", Ancillary(aspect, bad, mask), "NONE", {chip: tool},
                                   (tile,))
        for task in tasks_of([about], folder / "tiles"):
            yield from task.commands()


@pytest.fixture(scope="module")
def commands(archives, tmp_path_factory):
    """All that can be sent, with and without regions."""
    folder = tmp_path_factory.mktemp("work")
    found = []
    for n, (array, chosen) in enumerate(itertools.product("IS", choices())):
        work = configured(folder / str(n), archives[array], **chosen, engine="ciao")
        found += [command for plan in plans_of(Pipeline(work)) for command in commands_in(plan)]
    found.append(tools.download_chandra_obsid(["16626", "942"]))
    found += responses_of_tiles(Path("/work"))
    return [(command, command.arguments(Everywhere(shapes))) for command in found for shapes in (True, False)]


def test_all_tools_are_among_them(commands):
    named = {node.name for node in ast.parse(Path(tools.__file__).read_text()).body
             if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    assert {command.tool for command, _ in commands} == {name.removesuffix("_light_curve") for name in named}


def test_names_are_whole(commands):
    for command, words in commands:
        for word in words:
            name, equals, _ = word.partition("=")
            if equals:
                assert name in FACTS[command.tool], f"{command.tool} has no parameter {name}"
            else:
                assert command.tool == "download_chandra_obsid"


def test_no_parameter_prompts(commands):
    """A tool that lacks a value would wait for an answer."""
    for command, words in commands:
        if command.tool == "download_chandra_obsid":
            continue
        given = dict(word.split("=", 1) for word in words)
        needed = {name for name, fact in FACTS[command.tool].items() if fact.get("mode") == "a"}
        assert needed <= set(given), f"{command.tool}: {needed - set(given)}"
        assert given["mode"] == "h"
        if "clobber" in FACTS[command.tool]:
            assert given["clobber"] == "yes"


def test_values_are_of_the_right_kind(commands):
    for command, words in commands:
        for word in words:
            name, equals, value = word.partition("=")
            if not equals or not value:
                continue
            fact = FACTS[command.tool][name]
            kind = fact["type"]
            if kind == "b":
                assert value in ("yes", "no"), word
            if fact.get("enum"):
                assert value in fact["enum"], word
            if kind in "ri":
                number = float(value) if kind == "r" else int(value)
                assert number >= float(fact["min"] if isinstance(fact.get("min"), int | float) else number), word
                assert number <= float(fact["max"] if isinstance(fact.get("max"), int | float) else number), word
            assert len(value) <= 1023


def test_filters_are_those_of_the_data_model(commands):
    term = (r"exclude sky=region\([^()\[\]]+\)|sky=region\([^()\[\]]+\)|@[^\[\]]+|energy=(500:7000|300:2000)|"
            r"ccd_id=\d(:\d)?(,\d(:\d)?)*|bin time=::\d+\.?\d*|opt null=NaN,type=r4|"
            r"sky=circle\([\d.]+,[\d.]+,[\d.]+\)|bin sky=1|wmap")
    form = re.compile(rf"@?[^\[\]]+(\[({term})\])*")
    seen = set()
    for _, words in commands:
        for word in words:
            name, _, value = word.partition("=")
            if name in ("infile", "infiles", "evtfile", "bkgfile", "imgfile", "psffile", "expfile") and value:
                assert form.fullmatch(value), word
                seen.update(re.findall(r"\[(\w+)", value))
    assert seen == {"exclude", "energy", "ccd_id", "bin", "sky", "opt", "wmap"}


@pytest.mark.parametrize(("text", "given"), [("0", "0.0"), ("0%", "0.0%"), (".0", "0.0"), ("0.0%", "0.0%"),
                                             ("1.5%", "1.5%"), ("0.5", "0.5"), ("1e-9%", "1e-9%")])
def test_a_threshold_of_0_keeps_the_names_of_images(text, given):
    """fluximage and merge_obs leave ``_thresh`` out of names where they are given 0 or 0%."""
    path = Path("/a")
    for command in (tools.fluximage(path, path, bands="broad", binsize=1, psfecf=0.9, expmapthresh=text, nproc=1,
                                    outputs=()),
                    tools.merge_obs(path, path, bands="broad", binsize=1, psfecf=0.9, expmapthresh=text, refcoord=None,
                                    nproc=1, outputs=())):
        assert f"expmapthresh={given}" in command.arguments(Everywhere(True))


def test_bins_are_cut_out_by_their_sky_regions(commands):
    for command, words in commands:
        if command.tool == "specextract":
            infile, outroot, place = (next(word for word in words if word.startswith(f"{name}="))
                                      for name in ("infile", "outroot", "resp_pos"))
            assert place == "resp_pos=MAX"  # the mean of the vertices may lie outside a bent bin
            is_list = infile.startswith("infile=@")
            assert re.search(r"lists/source_001\.list$" if is_list else r"outreg/sex/xaf_12_sex\.reg\)\]$", infile)
            assert re.search(r"@.*/lists/root_001\.list$" if is_list else r"/xaf_12$", outroot)
            endings = {path.name.removeprefix("xaf_12") for path in command.outputs}
            assert endings == {".pi", ".arf", ".rmf", "_grp.pi"}


def test_derived_outputs_have_the_names_of_the_tool(commands):
    """The label of a band is its text as it was typed, and the names of outputs hold it."""
    for command, words in commands:
        if command.tool == "fluximage":
            bands = next(word for word in words if word.startswith("bands=")).removeprefix("bands=")
            label = "-".join(bands.split(":")[:2])
            assert all(f"_{label}_" in path.name for path in command.outputs)


def test_each_tool_has_a_folder_of_its_own_for_temporary_files(commands):
    for command, _ in commands:
        for name in ("tmpdir", "interdir"):
            if name in FACTS[command.tool]:
                assert parts_of(command.parameters[name]) == (Temporary(),), command.tool


@pytest.mark.parametrize("odd", [" ", "[", "(", ",", ";", "'", "\t"])
def test_paths_that_break_tools_are_refused(odd):
    command = tools.dmcopy(Path(f"/data/a{odd}b/evt2.fits"), Path("/data/out.fits"), purpose="")
    with pytest.raises(InputError, match="which CIAO does not accept"):
        command.arguments(Everywhere(True))


def test_values_that_are_too_long_are_refused():
    command = tools.dmcopy(Path("/", *["a" * 200] * 6), Path("/data/out.fits"), purpose="")
    with pytest.raises(InputError, match="CIAO accepts 1023"):
        command.arguments(Everywhere(True))


def test_filters_of_regions_without_shapes_are_left_out():
    parts = (File(Path("evt.fits")), Filter("[exclude sky=region(", File(Path("a.reg")), ")]"), "[energy=1:2]")
    command = Command("dmcopy", {"infile": parts})
    assert command.arguments(Everywhere(True)) == ["infile=evt.fits[exclude sky=region(a.reg)][energy=1:2]"]
    assert command.arguments(Everywhere(False)) == ["infile=evt.fits[energy=1:2]"]


def test_a_script_fits_the_background_with_the_events_of_the_merger(archives, tmp_path, monkeypatch):
    work = configured(tmp_path / "work", archives["I"], engine="ciao")
    script = next(path for path in write_scripts(work, work / "scripts") if "crop" in path.name).read_text()
    words = re.search(r"chandra-bin (background (?:\\\n|[^\n&])*)", script)[1].replace("\\\n", " ").split()
    # The region of sources is given where it has shapes, by a variable of the shell.
    words = [word for word in words if not word.startswith("${")]
    layout = Pipeline(work).layout
    layout.merged.mkdir(parents=True)
    (layout.merged / "evt.fits").touch()
    layout.merged_list.write_text("evt.fits\n")
    monkeypatch.chdir(work)
    given = background.make_context("background", words[1:], resilient_parsing=True).params
    assert [work / each.file for each in given["events"]] == [layout.merged / "evt.fits"]
    assert [work / given[name] for name in ("image", "expmap", "cluster", "outroot")] == [
        layout.image, layout.expmap, layout.cluster, layout.local_background_root]
