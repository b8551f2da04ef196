"""The errors of the reference, by their rows in the table of CIAO facts: none comes back.

Rows of kind T are wrong words, and concern no command.
"""

import re
import shutil

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.acis.bands import parse_bands
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.fits.images import write_image
from chandra_bin.pipeline.ciao import steps as ciao_steps
from chandra_bin.pipeline.runner import Pipeline
from chandra_bin.simulate import cluster_header
from chandra_bin.tasks.outlines import write_outlines
from pipeline_work import configured
from test_ciao_commands import Everywhere, commands_in


@pytest.fixture(scope="module")
def pipeline(simulated, tmp_path_factory):
    return Pipeline(configured(tmp_path_factory.mktemp("work"), simulated, engine="ciao", deflare_method="clean"))


def sent(plan):
    """(tool, parameters) of each call, in order, where all regions are there."""
    return [(command.tool, dict(word.split("=", 1) for word in command.arguments(Everywhere(True))))
            for command in commands_in(plan)]


@pytest.fixture(scope="module")
def cleaning(pipeline):
    files = pipeline.archive[0]
    return sent(ciao_steps.clean(pipeline.layout, pipeline.settings, files))


@pytest.fixture(scope="module")
def everything(pipeline):
    layout, settings, archive = pipeline.layout, pipeline.settings, tuple(pipeline.archive)
    plans = [plan(layout, settings, archive[0]) for plan in (
        ciao_steps.reprocess, ciao_steps.images, ciao_steps.clean, ciao_steps.spectra)]
    plans += [ciao_steps.merge(layout, settings, archive), ciao_steps.sources(layout, settings),
              ciao_steps.crop(layout, settings)]
    return [call for plan in plans for call in sent(plan)]


def file_of(name):
    return name.split("[")[0].lstrip("@")


def test_row_1_the_light_curve_is_of_a_file_that_was_made(cleaning):
    tools = [tool for tool, _ in cleaning]
    made = [given["outfile"] for tool, given in cleaning[:tools.index("dmextract")] if tool == "dmcopy"]
    curve = dict(cleaning)["dmextract"]["infile"]
    assert file_of(curve) in made
    copied = next(given["infile"] for tool, given in cleaning if given.get("outfile") == file_of(curve))
    assert "[energy=500:7000]" in copied


def test_row_2_clean_events_are_made_beside_the_reprocessed_ones(pipeline, cleaning):
    obs = pipeline.layout.obs("90001")
    copied = next(given for tool, given in cleaning if tool == "dmcopy" and given["outfile"] == str(obs.clean_events))
    assert copied["infile"] == f"{obs.events}[@{obs.good_times}]"
    assert copied["option"] == "all"
    assert obs.clean_events.parent == obs.events.parent


def test_row_3_the_event_file_is_named(everything):
    for tool, given in everything:
        if tool == "fluximage":
            assert re.search(r"_(repro_evt2|clean_evt)\.fits\[ccd_id=", given["infile"])


def test_row_3b_the_image_of_the_blank_sky_is_one_of_clean_events(pipeline, cleaning):
    obs = pipeline.layout.obs("90001")
    tools = [tool for tool, _ in cleaning]
    image = dict(cleaning)["fluximage"]
    assert file_of(image["infile"]) == str(obs.clean_events) == file_of(dict(cleaning)["blanksky"]["evtfile"])
    assert dict(cleaning)["blanksky_image"]["imgfile"] == str(obs.image)
    assert str(obs.image).startswith(f"{image['outroot']}_")
    assert tools.index("deflare") < tools.index("fluximage") < tools.index("blanksky") < tools.index("blanksky_image")


def test_row_4_the_origin_is_that_of_the_pixels_whatever_the_subspace_says():
    header = fits.Header({"NAXIS": 2, "NAXIS1": 4, "NAXIS2": 3, "CTYPE1P": "x", "CTYPE2P": "y", "CRPIX1P": 0.5,
                          "CRPIX2P": 0.5, "CRVAL1P": 3798.5, "CRVAL2P": 4000.5, "CDELT1P": 2.0, "CDELT2P": 2.0,
                          "DSTYP1": "energy", "DSVAL1": "500:7000", "DSTYP2": "sky(x,y)",
                          "DSVAL2": "Box(1,2,3,4)&!Ellipse(5,6,7,8,9)"})
    assert ImageCoords(header).image_to_physical(-0.5, -0.5) == (3798.5, 4000.5)


def test_row_5_sky_regions_have_no_prefix(tmp_path):
    image = tmp_path / "binmap.fits"
    with image.open("wb") as file:
        write_image(file, np.zeros((4, 5), np.int32), cluster_header((4, 5), bin_px=2))
    write_outlines(image, tmp_path / "sex", system="wcs", sexagesimal=True)
    head, *shapes = (tmp_path / "sex/xaf_0_sex.reg").read_text().splitlines()
    assert head == "# Region file format: CIAO version 1.0"
    assert all(re.fullmatch(r"polygon\((\d\d:\d\d:\d\d\.\d+,[-+]\d\d:\d\d:\d\d\.\d+,?)+\)", each) for each in shapes)
    assert shapes


def test_row_6_detection_is_on_the_whole_image(pipeline):
    (tool, given), = sent(ciao_steps.sources(pipeline.layout, pipeline.settings))
    assert (tool, given["infile"]) == ("wavdetect", str(pipeline.layout.image))
    assert given["expfile"] == str(pipeline.layout.expmap)


def test_row_7_sources_are_found_with_a_psf_map_that_was_made(pipeline, everything):
    for tool, given in everything:
        if tool == "wavdetect":
            assert given["psffile"].endswith("_thresh.psfmap")
    merged = dict(everything)["merge_obs"]
    assert float(merged["psfecf"]) == 0.9
    assert merged["psfmerge"] == "exptime"
    assert str(pipeline.layout.psfmap).startswith(merged["outroot"])


def test_row_9_the_blank_sky_is_not_screened_twice(everything):
    assert not any("status" in value for _, given in everything for value in given.values())


def test_row_11_bands_are_those_that_there_are(everything):
    assert {given["bands"] for _, given in everything if "bands" in given} == {"0.5:7:2.3", "broad"}
    parse_bands("broad")
    with pytest.raises(InputError, match="ultrahard"):
        parse_bands("ultrahard")


def test_row_20_chips_are_those_of_the_aim_point(simulated, tmp_path):
    """Whatever DETNAM lists: the first table of good times is of the chip that the target was on."""
    archive = tmp_path / "archive"
    shutil.copytree(simulated, archive)
    (events,) = archive.glob("90001/primary/*evt2.fits.gz")
    with fits.open(events) as hdus:
        hdus["EVENTS"].header["DETNAM"] = "ACIS-235678"
        hdus.writeto(events, overwrite=True)
    pipeline = Pipeline(configured(tmp_path / "work", archive, engine="ciao"))
    plan = ciao_steps.images(pipeline.layout, pipeline.settings, pipeline.archive[0])
    assert dict(sent(plan))["fluximage"]["infile"].endswith("[ccd_id=0:3]")


@pytest.mark.parametrize(("chips", "each"), [("auto", "0,1,2,3"), ("7", "7"), ("0:3,6", "0,1,2,3,6"), ("5:6", "5,6")])
def test_the_image_that_blanksky_image_reads_names_each_chip(simulated, tmp_path, chips, each):
    """It takes the chips from the image's data subspace, and a range there for its first chip alone."""
    pipeline = Pipeline(configured(tmp_path / "work", simulated, engine="ciao", ccd_ids=chips))
    plan = ciao_steps.clean(pipeline.layout, pipeline.settings, pipeline.archive[0])
    (infile,) = [given["infile"] for tool, given in sent(plan) if tool == "fluximage"]
    assert infile.endswith(f"_clean_evt.fits[ccd_id={each}]")


def test_row_21_a_rerun_replaces(everything):
    assert all(given["clobber"] == "yes" for tool, given in everything if tool != "deflare")


def test_row_22_detections_and_what_is_removed_have_names_of_their_own(pipeline, everything):
    layout = pipeline.layout
    found = [given["regfile"] for tool, given in everything if tool == "wavdetect"]
    removed = {name for _, given in everything for value in given.values()
               for name in re.findall(r"exclude sky=region\(([^)]+)\)", value)}
    obs = layout.obs("90001")
    assert removed == {str(path.with_name(f"{path.stem}_physical.reg")) for path in (
        layout.sources, layout.cluster, obs.source_regions, obs.cluster)}
    assert not removed & set(found)


def test_row_24_obsids_have_five_digits(pipeline):
    obs = pipeline.layout.obs("754")
    for path in (obs.events, obs.bad_pixels, obs.field_of_view, obs.clean_events):
        assert path.name.startswith("acisf00754_")


def test_row_23_removed_pixels_are_no_data(everything):
    """T by its kind, and harmful all the same: 0 would be a flux, or an exposure, of nothing."""
    cut = [given["infile"] for tool, given in everything
           if tool == "dmcopy" and ("flux" in given["outfile"] or "expmap" in given["outfile"])]
    assert len(cut) == 3
    assert all(name.endswith("[opt null=NaN,type=r4]") for name in cut)
