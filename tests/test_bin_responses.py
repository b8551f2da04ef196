"""``chandra-bin responses --per-bin`` and ``--arf --rmf``: responses that users have, and bad ones."""

import shutil
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from chandra_bin.cli import run
from chandra_bin.fits.virtual import named_files
from chandra_bin.spectral.fit_table import read_fit
from chandra_bin.spectral.ogip import read_arf, read_rmf
from chandra_bin.spectral.response_files import arf_content, rmf_content
from chandra_bin.spectral.weights import ResponseWeights, read_tiles
from chandra_bin.tasks import bin_responses, responses
from chandra_bin.tasks._bin_pixels import read_bin_pixels
from test_cli_fit import EVENTS, FIT, cluster, copied, error_of, here, write_binmap  # noqa: F401 - fixtures

PATTERN = "spectra/{obsid}/xaf_{bin}.arf"
WORDS = ("responses", "@evt.list", "binmap.fits", "-o", "each.fits")


@pytest.fixture
def files(copied):  # noqa: F811
    """ARF and RMF of two bins in both observations, as if specextract had made them."""
    from chandra_bin.tasks.response_files import write_response_files

    for path in write_response_files(Path("responses.fits"), Path("spectra"), [11, 12]):
        if path.suffix == ".arf":
            path.write_bytes(arf_content(replace(read_arf(path), creator="specextract")))
    return copied


@pytest.fixture
def alike(copied):  # noqa: F811
    """Files of the same names, of the middle of the chip: they are made quickly."""
    for obsid in (90001, 90002):
        for number in (11, 12):
            shutil.copyfile(f"sim/truth/responses/{obsid}_ccd7_4.arf", f"spectra/{obsid}/xaf_{number}.arf")
            shutil.copyfile("sim/truth/responses/acis.rmf", f"spectra/{obsid}/xaf_{number}.rmf")
    return copied


@pytest.mark.usefixtures("files")
def test_bins_have_the_response_of_their_own_files(capsys):
    assert run([*WORDS, "--per-bin", PATTERN]) == 0
    output = capsys.readouterr()
    assert "ObsID 90001: 2 bins with files; 23 without, and 0 without events" in output.out
    assert "23 bins have events but no ARF and RMF, and therefore no response in ObsID 90002: 0, 1, 2, " in output.err
    weights = ResponseWeights.read(Path("each.fits"))
    assert set(zip(weights.bin.tolist(), weights.obsid.tolist(), strict=True)) == {
        (number, obsid) for number in (11, 12) for obsid in (90001, 90002)}
    assert [weights.tiles[tile].arf.name for tile in weights.tile] == [f"xaf_{number}.arf" for number in weights.bin]
    # Both bins are seen whole; EXPOSURE is not lowered again for bad columns and the dither.
    for number, obsid, seconds in zip(weights.bin, weights.obsid, weights.seconds, strict=True):
        exposure = read_arf(f"spectra/{obsid}/xaf_{number}.arf").exposure_s
        assert seconds == pytest.approx(exposure, rel=0.01)
    words = [*FIT, "-o", "each.ecsv", "-q"]
    words[words.index("responses.fits")] = "each.fits"
    assert run(words) == 0
    ours, other = (read_fit(Path(name)).result for name in ("each.ecsv", "fit.ecsv"))
    two = np.isin(ours.bin, [11, 12])
    assert ours.good()[two].all()
    np.testing.assert_allclose(ours.kt[two], other.kt[two], rtol=0.02)
    np.testing.assert_allclose(ours.norm[two], other.norm[two], rtol=0.02)
    assert set(ours.reason[~two].tolist()) == {"no data"}


@pytest.mark.usefixtures("alike")
def test_seconds_are_those_of_the_events_where_arfs_have_another_exposure(capsys):
    """As where specextract had the events before flares were cut."""
    assert run([*WORDS, "--per-bin", PATTERN]) == 0
    assert "EXPOSURE" not in capsys.readouterr().err
    before = ResponseWeights.read(Path("each.fits")).seconds
    for obsid in (90001, 90002):
        arf = Path(f"spectra/{obsid}/xaf_11.arf")
        _change_arf(arf, exposure_s=1.25 * read_arf(arf).exposure_s)
    assert run([*WORDS, "--per-bin", PATTERN, "--clobber"]) == 0
    said = capsys.readouterr().err
    assert said.count("1 ARF has another EXPOSURE than these events; spectra/9000") == 2
    np.testing.assert_array_equal(ResponseWeights.read(Path("each.fits")).seconds, before)
    # Filters on time count.
    with fits.open(EVENTS[0].partition("[")[0]) as hdus:
        start, stop = (hdus["EVENTS"].header[name] for name in ("TSTART", "TSTOP"))
    half = EVENTS[0].replace("]", f",time={start}:{(start + stop) / 2}]")
    assert run(["responses", half, "binmap.fits", "-o", "half.fits", "--per-bin", PATTERN]) == 0
    assert "2 ARFs have another EXPOSURE than these events" in capsys.readouterr().err
    np.testing.assert_allclose(ResponseWeights.read(Path("half.fits")).seconds / before[:2], 0.5, rtol=0.02)


@pytest.mark.usefixtures("alike")
@pytest.mark.parametrize("words", [["--per-bin", PATTERN], ["--tiles", "sim/truth/tiles.ecsv"]])
def test_filters_on_the_sky_are_warned_of(capsys, words):
    name = EVENTS[0].replace("]", ",sky=circle(4096,4096,300)]")
    assert run(["responses", name, "binmap.fits", "-o", "part.fits", *words]) == 0
    assert "its filters on the sky remove events, but no exposure of the bins" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_the_part_of_a_bin_that_is_not_seen_lowers_its_seconds(tmp_path):
    """Compared with the seconds by tiles, which are means over the pixels of a bin: wide bins lie partly off chip 7."""
    write_binmap(tmp_path / "wide.fits", EVENTS[0].partition("[")[0], side=3, pixels=60)
    words = ["responses", EVENTS[0], str(tmp_path / "wide.fits"), "-q"]
    tiles = Table.read("sim/truth/tiles.ecsv")
    middle = tiles[(tiles["obsid"] == 90001) & (tiles["ccd_id"] == 7)][4]
    for number in range(9):
        for kind in ("arf", "rmf"):
            (tmp_path / f"xaf_{number}.{kind}").symlink_to(Path("sim/truth", middle[kind]).resolve())
    assert run([*words, "--per-bin", str(tmp_path / "xaf_{bin}"), "-o", str(tmp_path / "each.fits")]) == 0
    assert run([*words, "--tiles", "sim/truth/tiles.ecsv", "-o", str(tmp_path / "tiles.fits")]) == 0
    each, by_tiles = (ResponseWeights.read(tmp_path / name) for name in ("each.fits", "tiles.fits"))
    exposure = read_arf(Path("sim/truth", middle["arf"])).exposure_s
    ours = np.bincount(each.bin, each.seconds, 9) / exposure
    theirs = np.bincount(by_tiles.bin, by_tiles.seconds, 9) / exposure
    assert ours.min() < 0.5
    np.testing.assert_allclose(ours[theirs > 0.1], theirs[theirs > 0.1], atol=0.03)


@pytest.mark.usefixtures("copied")
def test_one_response_is_scaled_by_the_vignetting_of_bins_and_flagged(capsys):
    arf, rmf = "sim/truth/responses/90001_ccd7_4.arf", "sim/truth/responses/acis.rmf"
    words = ["responses", EVENTS[0], "binmap.fits", "--arf", arf, "--rmf", rmf, "-o", "one.fits"]
    assert run(words) == 0
    said = capsys.readouterr().err
    assert "has no place: it is taken to be that of the optical axis" in said
    assert fits.getheader("one.fits", "BINS")["CALIB"] == "APPROX"
    one, many = (ResponseWeights.read(Path(name)) for name in ("one.fits", "responses.fits"))
    many_areas = {tile.arf: read_arf(tile.arf) for tile in many.tiles}
    mine = many.obsid == 90001
    low = read_arf(arf)
    at = int(np.searchsorted(low.energy_lo, 2.0))
    ours = np.bincount(one.bin, one.seconds, 25) * low.area_cm2[at] / low.fraction
    parts = [seconds * many_areas[many.tiles[tile].arf].area_cm2[at]
             for tile, seconds in zip(many.tile[mine], many.seconds[mine], strict=True)]
    ratio = ours / np.bincount(many.bin[mine], parts, 25)
    # The ARF is that of the middle of the chip, which lies close to the axis: its own vignetting stays.
    assert ratio.std() / ratio.mean() < 0.01
    assert ratio.mean() == pytest.approx(1, abs=0.05)
    assert "there are 2: give a table with a row for each" in error_of(
        capsys, "responses", "@evt.list", "binmap.fits", "--arf", arf, "--rmf", rmf, "-o", "two.fits")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("words", "message"), [
    ([], "give one of --tiles TABLE, --per-bin PATTERN"),
    (["--arf", "a.arf"], "--arf and --rmf belong together"),
    (["--tiles", "a.csv", "--per-bin", "x"], "give one of --tiles TABLE"),
    (["--per-bin", "{obsid}/xaf.arf"], "mark the place of the bin number"),
    (["--per-bin", "xaf_{bin}.arf"], "mark the place of the ObsID in the names, as there are 2"),
    (["--per-bin", PATTERN, "--weights", "counts"], "--weights weighs tiles, and --per-bin reads a response for each"),
    (["--per-bin", PATTERN, "--min-weight-counts", "50"], "--min-weight-counts weighs tiles"),
    (["--per-bin", "no where/{obsid}/xaf_{bin}.arf"], "files of all bins are missing, no where/90001/xaf_0.arf"),
])
def test_choices_that_cannot_be_made(capsys, tmp_path, words, message):
    assert run(["responses", "@evt.list", "binmap.fits", "-o", str(tmp_path / "out.fits"), *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert not (tmp_path / "out.fits").exists()


@pytest.mark.usefixtures("alike")
@pytest.mark.parametrize("last", [1, 2], ids=["chips", "pixels"])
@pytest.mark.parametrize("per_bin", [False, True])
def test_the_search_for_responses_ends_at_each_poll(per_bin, last):
    """The exposures of chips and the blocks of pixels, which take the time, both poll."""
    polls = []

    def poll():
        polls.append(1)
        if len(polls) == last:
            raise CancelledError

    bins, (name,) = read_bin_pixels(Path("binmap.fits"), None, (), ()), named_files(EVENTS[0])
    if per_bin:
        tiles = bin_responses._files_of_bins(PATTERN, [90001], bins.numbers)
        work = partial(bin_responses._observation, bins, bin_responses._read(bins, None, tiles, (90001, name)))
    else:
        tiles = read_tiles(Path("sim/truth/tiles.ecsv"))
        ((*_, mine),) = responses._with_tiles([90001], [name], tiles, Path("tiles.ecsv"))
        read = responses._read(bins, None, tiles, (90001, name, mine))
        work = partial(responses._observation, bins, responses.WeightOptions(), read)
    with pytest.raises(CancelledError):
        work(poll)
    assert len(polls) == last


def _change_arf(path, **values):
    path.write_bytes(arf_content(replace(read_arf(path), **values)))


def _shifted(arf):
    return {"energy_lo": arf.energy_lo + 20, "energy_hi": arf.energy_hi + 20}


def _with_areas(value):
    def harm(arf, _rmf):
        with fits.open(arf, mode="update") as hdus:
            hdus["SPECRESP"].data["SPECRESP"][300] = value
    return harm


def _of_fewer_channels(_arf, rmf):
    whole = read_rmf(rmf)
    kept = 512
    few = whole.places < kept
    offsets = np.concatenate([[0], np.cumsum(few)])[whole.row_offsets]
    rmf.write_bytes(rmf_content(replace(
        whole, channel_lo=whole.channel_lo[:kept], channel_hi=whole.channel_hi[:kept], row_offsets=offsets,
        places=whole.places[few], values=whole.values[few])))


@pytest.mark.usefixtures("alike")
@pytest.mark.parametrize(("harm", "message", "as_tile"), [
    (_of_fewer_channels, "xaf_11.rmf: has 512 channels, but spectra have 1024", None),
    (lambda arf, _: _change_arf(arf, **_shifted(read_arf(arf))), "xaf_11.arf: has 970 energies of 20.3", None),
    (_with_areas(np.nan), "xaf_11.arf: block SPECRESP has the area nan cm2 at 3.3 keV", None),
    (_with_areas(-1.0), "has the area -1 cm2", None),
    (lambda _, rmf: rmf.write_bytes(rmf.read_bytes()[:rmf.stat().st_size // 2]),
     "xaf_11.rmf: block MATRIX is truncated", None),
    (lambda _, rmf: rmf.unlink(), "xaf_11.rmf: does not exist, but xaf_11.arf does",
     "xaf_11.rmf, which does not exist"),
    (lambda arf, _: _change_arf(arf, keywords={"OBS_ID": "754"}), "is of ObsID 754 (OBS_ID), but is given for 90001",
     None),
    (lambda arf, _: arf.write_bytes(b""), "xaf_11.arf: is empty", None),
])
def test_bad_files_are_one_line_and_nothing_is_lost(capsys, harm, message, as_tile):
    """``as_tile``: the text where the same files are a row of a table of tiles; None: the same text."""
    harm(Path("spectra/90001/xaf_11.arf"), Path("spectra/90001/xaf_11.rmf"))
    Path("each.fits").write_text("an earlier file")
    assert message in error_of(capsys, *WORDS, "--clobber", "--per-bin", PATTERN)
    assert Path("each.fits").read_text() == "an earlier file"
    Table(rows=[(90001, "spectra/90001/xaf_11.arf", "spectra/90001/xaf_11.rmf"),
                (90002, "spectra/90002/xaf_11.arf", "spectra/90002/xaf_11.rmf")],
          names=("obsid", "arf", "rmf")).write("one.csv")
    said = error_of(capsys, *WORDS, "--clobber", "--tiles", "one.csv")
    assert (as_tile or message) in said


@pytest.mark.usefixtures("copied")
@pytest.mark.parametrize("command", ["responses --files", "session"])
def test_areas_of_bins_that_hold_their_exposure_are_refused(capsys, command):
    """Their exposure would be counted twice."""
    if command == "session":
        assert run(["session", "spectra", "--responses", "responses.fits", "--bins", "12", *FIT[4:], "-o", "by hand",
                    "-q"]) == 0
        pattern = "by hand/bin_{bin}_{obsid}"
    else:
        assert run(["responses", "@evt.list", "binmap.fits", "--tiles", "sim/truth/tiles.ecsv", "--files", "spectra",
                    "--bins", "12", "--clobber", "-q"]) == 0
        pattern = PATTERN
    arf = Path(f"{pattern.format(obsid=90001, bin=12).removesuffix('.arf')}.arf")
    message = f"{arf}: was written by 'chandra-bin {command}', and its area holds the exposure of a bin: fit with the"
    assert message in error_of(capsys, *WORDS, "--per-bin", pattern)
    assert message in error_of(capsys, "responses", EVENTS[0], "binmap.fits", "-o", "each.fits", "--arf", str(arf),
                               "--rmf", str(arf.with_suffix(".rmf")))
    assert not Path("each.fits").exists()


@pytest.mark.usefixtures("alike")
def test_names_may_hold_blanks_and_numbers_of_observations_without_zeros(capsys):
    for obsid in (90001, 90002):
        folder = Path(f"of specextract/{obsid}")
        folder.mkdir(parents=True)
        for kind in ("arf", "rmf"):
            Path(f"spectra/{obsid}/xaf_12.{kind}").rename(folder / f"bin 12.{kind}")
    assert run([*WORDS, "-q", "--per-bin", "of specextract/{obsid}/bin {bin}.rmf"]) == 0
    assert set(ResponseWeights.read(Path("each.fits")).bin.tolist()) == {12}
    assert "Traceback" not in capsys.readouterr().err
