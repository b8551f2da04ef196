"""``chandra-bin merge``: observations on one tangent plane, with the names of merge_obs."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from chandra_bin.cli import run
from chandra_bin.coords.tangent_plane import pixel_map, separation_deg
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.events.reader import read_events
from chandra_bin.tasks.merge import merge_observations
from event_files import START, random_events, write_events
from files import listing

RA, DEC = 228.475, -59.14
EAST = 0.05 / np.cos(np.radians(DEC))  # 3'


def write_pair(folder, *, count=4000, **second):
    """Two observations 3' apart; the list of them."""
    write_events(folder / "a.fits", random_events(count, 1, spread_px=60), obsid="754", ra=RA, dec=DEC)
    keywords = {"obsid": "16626", "ra": RA + EAST, "dec": DEC, "good_times": {
        chip: [(START + 90_000, START + 95_000), (START + 96_000, START + 99_000)] for chip in (1, 2, 3, 7)}, **second}
    columns = random_events(count + 500, 2, spread_px=60, chips=(1, 2, 3, 7))
    columns["time"] = columns["time"] + 90_000
    write_events(folder / "b.fits", columns, **keywords)
    (folder / "clean_evt.list").write_text("a.fits\nb.fits\n")
    return folder / "clean_evt.list"


@pytest.fixture
def pair(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path)
    return tmp_path


def table(path):
    with fits.open(path) as hdus:
        return hdus[1].data.copy(), hdus[1].header.copy()


def column_wcs(header):
    """astropy's WCS of the columns x and y."""
    n = {header[f"TTYPE{n}"]: n for n in range(1, header["TFIELDS"] + 1)}
    made = WCS(naxis=2)
    made.wcs.ctype = [header[f"TCTYP{n[name]}"] for name in ("x", "y")]
    made.wcs.crval, made.wcs.crpix, made.wcs.cdelt = (
        [header[f"{key}{n[name]}"] for name in ("x", "y")] for key in ("TCRVL", "TCRPX", "TCDLT"))
    return made


def test_a_list_of_what_is_not_there_is_named(pair, capsys):
    (pair / "text.fits").write_text("a.fits\nhello\n")
    assert run(["merge", "@text.fits", "-o", "merged"]) == 2
    assert capsys.readouterr().err == (
        "chandra-bin merge: error: @text.fits: lists hello, which does not exist\n")


def test_a_list_makes_merge_obs_files(pair, capsys):
    assert run(["merge", "@clean_evt.list", "-o", "merged"]) == 0
    assert listing(pair / "merged") == [
        "16626_broad_thresh.img", "16626_reproj_evt.fits", "754_broad_thresh.img", "754_reproj_evt.fits",
        "broad_thresh.img", "merged_evt.fits"]
    out = capsys.readouterr()
    assert out.out.startswith("2 observations (754, 16626), 8500 events around 228.523")
    assert out.err == ""


def test_names_may_have_filters_and_lists_be_elsewhere(pair):
    (pair / "lists").mkdir()
    (pair / "lists/few.list").write_text("../a.fits[ccd_id=0:1]\n../b.fits\n")
    assert run(["merge", "@lists/few.list[energy=500:2000]", "-o", "merged", "-q"]) == 0
    rows, _ = table(pair / "merged/merged_evt.fits")
    a, b = table("a.fits")[0], table("b.fits")[0]
    soft = [(each["energy"] >= 500) & (each["energy"] < 2000) for each in (a, b)]
    assert len(rows) == (soft[0] & (a["ccd_id"] <= 1)).sum() + soft[1].sum()
    assert run(["merge", "a.fits[ccd_id=0:1]", "b.fits", "-o", "two", "-q"]) == 0
    assert (pair / "two/754_reproj_evt.fits").exists()


@pytest.mark.usefixtures("pair")
def test_events_are_where_astropy_has_them():
    assert run(["merge", "@clean_evt.list", "-o", "merged", "-q"]) == 0
    merged, merged_header = table("merged/merged_evt.fits")
    start = 0
    for name, obsid in (("a", 754), ("b", 16626)):
        old, header = table(f"{name}.fits")
        new, new_header = table(f"merged/{obsid}_reproj_evt.fits")
        sky = column_wcs(header).all_pix2world(old["x"].astype(float), old["y"].astype(float), 1)
        expected = column_wcs(merged_header).all_world2pix(*sky, 1)
        for axis, values in zip("xy", expected, strict=True):
            # As near as the float32 of the files can be.
            np.testing.assert_allclose(new[axis].astype(float), values, rtol=0, atol=np.spacing(np.float32(8191)))
            np.testing.assert_array_equal(merged[axis][start: start + len(old)], new[axis])
        for column in old.names:
            if column not in "xy":
                np.testing.assert_array_equal(new[column], old[column])
                np.testing.assert_array_equal(merged[column][start: start + len(old)], old[column])
        assert [new_header[key] for key in ("RA_NOM", "DEC_NOM")] == list(column_wcs(merged_header).wcs.crval)
        start += len(old)
    assert start == len(merged)


def test_coordinates_in_float64_are_exact(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path)
    for name in "ab":
        with fits.open(f"{name}.fits") as hdus:
            columns = [fits.Column(each.name, "1D" if each.name in "xy" else each.format, each.unit,
                                   array=hdus[1].data[each.name]) for each in hdus[1].columns]
            made = fits.BinTableHDU.from_columns(columns)
            for key in hdus[1].header:
                if key not in made.header:
                    made.header[key] = hdus[1].header[key]
            hdus[1] = made
            hdus.writeto(f"{name}_wide.fits")
    merge_observations(["a_wide.fits", "b_wide.fits"], tmp_path / "merged")
    old, header = table("b_wide.fits")
    new, new_header = table("merged/16626_reproj_evt.fits")
    sky = column_wcs(header).all_pix2world(old["x"], old["y"], 1)
    np.testing.assert_allclose([new["x"], new["y"]], column_wcs(new_header).all_world2pix(*sky, 1), rtol=0, atol=1e-6)


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("binsize", [1.0, 4.0, 0.5, 3.0])
def test_all_images_have_one_grid_and_hold_every_event_of_the_band(binsize):
    assert run(["merge", "@clean_evt.list", "-o", "merged", "-q", "--binsize", str(binsize), "--bands",
                "broad,0.5:2.0:1.5"]) == 0
    rows, header = table("merged/merged_evt.fits")
    for label, high in (("broad", 7000), ("0.5-2.0", 2000)):
        (image, about), *one_by_one = (fits.getdata(f"merged/{name}{label}_thresh.img", header=True)
                                       for name in ("", "754_", "16626_"))
        np.testing.assert_array_equal(image, one_by_one[0][0] + one_by_one[1][0])
        places = [key for key in about if key.startswith(("CRVAL", "CRPIX", "CDELT", "LTV", "LTM"))]
        assert len(places) == 16
        for _, each in one_by_one:
            assert [each[key] for key in places] == [about[key] for key in places]
        kept = (rows["energy"] >= 500) & (rows["energy"] < high)
        edges = [about[f"CRVAL{n}P"] + binsize * np.arange(size + 1) for n, size in ((1, image.shape[1]),
                                                                                     (2, image.shape[0]))]
        assert all((each[0] - 0.5) % binsize == 0 for each in edges)
        expected, *_ = np.histogram2d(rows["y"][kept], rows["x"][kept], [edges[1], edges[0]])
        assert image.sum() == kept.sum()
        np.testing.assert_array_equal(image, expected)
        # The sky of the image is that of the events.
        at = column_wcs(header).all_pix2world([[edges[0][3], edges[1][5]]], 1)
        np.testing.assert_allclose(ImageCoords(about).sky_to_image(*at[0]), (2.5, 4.5), rtol=0, atol=1e-6)
        assert about["DSVAL3"] == f"500:{high}"


def bin_counts(coords, x, y, binmap, image):
    """Events in each bin of a binmap, which they meet through the sky."""
    i, j = (np.floor(each + 0.5).astype(int) for each in pixel_map(coords, image)(x.astype(float), y.astype(float)))
    inside = (i >= 0) & (i < binmap.shape[1]) & (j >= 0) & (j < binmap.shape[0])
    return np.bincount(binmap[j[inside], i[inside]], minlength=binmap.max() + 1)


def cluster_events(count, seed, ra, dec, roll):
    """A beta-model around one place in the sky, seen on a square chip of this roll around (ra, dec)."""
    draw = np.random.default_rng(seed)
    columns = random_events(count, seed)
    radius = 80 * np.sqrt(draw.random(count) ** (-1 / 1.4) - 1)  # sky pixels; beta = 0.8
    angle = draw.uniform(0, 2 * np.pi, count)
    centre = coords_at(RA, DEC)
    sky = centre.physical_to_sky(4096.5 + radius * np.cos(angle), 4096.5 + radius * np.sin(angle))
    x, y = coords_at(ra, dec).sky_to_physical(*sky)
    turn = np.radians(roll)
    across = (x - 4096.5) * np.cos(turn) + (y - 4096.5) * np.sin(turn)
    along = -(x - 4096.5) * np.sin(turn) + (y - 4096.5) * np.cos(turn)
    on_chip = (np.abs(across) < 700) & (np.abs(along) < 700)
    return {name: values[on_chip] for name, values in
            {**columns, "x": x.astype(np.float32), "y": y.astype(np.float32)}.items()}


def coords_at(ra, dec):
    return ImageCoords(fits.Header({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": 4096.5, "CRPIX2": 4096.5,
        "CDELT1": -1.3666666666667e-4, "CDELT2": 1.3666666666667e-4, "RADESYS": "ICRS",
        **{f"{key}{n}P": 1.0 for key in ("CRVAL", "CRPIX", "CDELT") for n in (1, 2)}}))


@pytest.mark.parametrize("binsize", [1, 2])
def test_bins_hold_the_same_counts_before_and_after(tmp_path, monkeypatch, binsize):
    """Two ObsIDs 3' apart, of 30,000 events each: not one event changes its bin."""
    monkeypatch.chdir(tmp_path)
    pointings = {"a": ("754", RA, DEC, 20.0), "b": ("755", RA + EAST, DEC + 0.004, 75.0)}
    for name, (obsid, ra, dec, roll) in pointings.items():
        write_events(f"{name}.fits", cluster_events(30_000, int(obsid), ra, dec, roll), obsid=obsid, ra=ra, dec=dec)
    merge_observations(["a.fits", "b.fits"], tmp_path / "merged", binsize=binsize)
    image, header = fits.getdata("merged/broad_thresh.img"), fits.getheader("merged/broad_thresh.img")
    on_image = ImageCoords(header)
    rows, columns = np.indices(image.shape)
    binmap = (rows // 3) * 1000 + columns // 5  # many small bins: many edges
    band = "[energy=500:7000]"
    before = [read_events(f"{name}.fits{band}", ["x", "y"]) for name in pointings]
    after = read_events(f"merged/merged_evt.fits{band}", ["x", "y"])
    expected = sum(bin_counts(each.coords, each["x"], each["y"], binmap, on_image) for each in before)
    found = bin_counts(after.coords, after["x"], after["y"], binmap, on_image)
    assert found.sum() == sum(map(len, before)) == image.sum()
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.bincount(binmap.ravel(), image.ravel(), found.size), expected)


def test_the_header_is_of_all_observations(pair):
    write_pair(pair, header={"OBJECT": "Another", "DETNAM": "ACIS-1237", "GRATING": "NONE"})
    assert run(["merge", "@clean_evt.list", "-o", "merged", "-q"]) == 0
    a, b = (fits.getheader(f"{name}.fits", 1) for name in "ab")
    merged = fits.getheader("merged/merged_evt.fits", 1)
    assert merged["OBS_ID"] == merged["OBJECT"] == "Merged"
    assert merged["DETNAM"] == "ACIS-01237"
    for key in ("ONTIME", "LIVETIME", "EXPOSURE", "ONTIME1", "LIVTIME2", "EXPOSUR3"):
        assert merged[key] == pytest.approx(a[key] + b[key], rel=1e-12)
    assert merged["ONTIME0"] == a["ONTIME0"]
    assert merged["ONTIME7"] == b["ONTIME7"]
    assert merged["TSTART"] == min(a["TSTART"], b["TSTART"])
    assert merged["GRATING"] == "NONE"
    assert "responses for each observation" in str(merged["HISTORY"]).replace("\n", "")
    one = fits.getheader("merged/16626_reproj_evt.fits", 1)
    assert {key: one[key] for key in ("OBS_ID", "OBJECT", "ONTIME", "DETNAM")} == {
        key: b[key] for key in ("OBS_ID", "OBJECT", "ONTIME", "DETNAM")}


def test_keywords_that_differ_go_and_others_stay(pair):
    common = {"CYCLE": "P", "CONTENT": "EVT2", "MTYPE2": "EQPOS", "MFORM2": "RA,DEC"}
    write_pair(pair, header={"SEQ_NUM": "1", "ASOLFILE": "b_asol.fits", **common})
    with fits.open("a.fits", mode="update") as hdus:
        hdus[1].header.update(SEQ_NUM="2", ASOLFILE="a_asol.fits", **common)
    merge_observations(["a.fits", "b.fits"], pair / "merged")
    merged = fits.getheader("merged/merged_evt.fits", 1)
    assert {key: merged[key] for key in common} == common
    assert not {"SEQ_NUM", "ASOLFILE"} & set(merged)
    assert fits.getheader("merged/754_reproj_evt.fits", 1)["ASOLFILE"] == "a_asol.fits"


@pytest.mark.usefixtures("pair")
def test_good_times_are_those_of_each_chip_in_any_observation():
    assert run(["merge", "@clean_evt.list", "-o", "merged", "-q"]) == 0
    for file in ("merged_evt.fits", "broad_thresh.img"):
        with fits.open(f"merged/{file}") as hdus:
            times = {hdu.header["HDUNAME"]: [(row["START"] - START, row["STOP"] - START) for row in hdu.data]
                     for hdu in hdus if hdu.name == "GTI"}
        first, others = [(0, 10_000)], [(90_000, 95_000), (96_000, 99_000)]
        assert times == {"GTI0": first, "GTI1": first + others, "GTI2": first + others, "GTI3": first + others,
                         "GTI7": others}
    merged = read_events("merged/merged_evt.fits[ccd_id=7]", ["x"])
    assert merged.good_times[7].total == 8000


def test_the_subspace_is_what_holds_for_all(pair):
    names = ["a.fits[energy=500:7000,x=4000:4200,sky=circle(4096,4096,90)]", "b.fits[energy=300:7000,grade=0:4]"]
    merge_observations(names, pair / "merged")
    merged = fits.getheader("merged/merged_evt.fits", 1)
    said = {merged[key] for key in merged if key.startswith("DSTYP")}
    assert said == {"ccd_id", "time"}
    chips = [merged[key] for key in merged if key.endswith("DSVAL1")]
    assert sorted(chips) == ["0:0", "1:1", "2:2", "3:3", "7:7"]
    # Sky pixels of the filter are not those of the new plane.
    moved = fits.getheader("merged/754_reproj_evt.fits", 1)
    assert {moved[key] for key in moved if key.startswith("DSTYP")} == {"ccd_id", "time", "energy"}


def test_the_tangent_point_is_the_mean_or_as_asked(pair):
    mean = merge_observations(["a.fits", "b.fits"], pair / "mean").tangent_deg
    assert separation_deg(mean, (RA, DEC)) == pytest.approx(separation_deg(mean, (RA + EAST, DEC)), abs=1e-9)
    for refcoord in ("228.5 -59.15", "228.5,-59.15", "15:14:00 -59:09:00", "15 14 00 -59 09 00"):
        merged = merge_observations(["a.fits", "b.fits"], pair / "asked", refcoord=refcoord, clobber=True)
        assert merged.tangent_deg == pytest.approx((228.5, -59.15), abs=1e-12)
    merged = merge_observations(["a.fits", "b.fits"], pair / "as-b", refcoord="b.fits")
    assert merged.tangent_deg == (RA + EAST, DEC)
    np.testing.assert_array_equal(table("as-b/16626_reproj_evt.fits")[0]["x"], table("b.fits")[0]["x"])
    image = merge_observations("a.fits", pair / "as-image", refcoord="asked/broad_thresh.img")
    assert image.tangent_deg == pytest.approx((228.5, -59.15), abs=1e-12)


def test_another_frame_is_taken_into_that_of_the_first(pair):
    columns = random_events(100, 4)
    write_events("b.fits", columns, obsid="755", ra=RA, dec=DEC, header={"RADESYS": "FK5"})
    merge_observations(["a.fits", "b.fits"], pair / "merged", refcoord="a.fits")
    rows, header = table("merged/755_reproj_evt.fits")
    assert (header["RADESYS"], header["RA_NOM"]) == ("ICRS", RA)
    old = read_events("b.fits", ["x", "y"])
    sky = old.coords.physical_to_sky(old["x"], old["y"], "icrs")
    expected = column_wcs(header).all_world2pix(*sky, 1)
    np.testing.assert_allclose([rows["x"].astype(float), rows["y"].astype(float)], expected, rtol=0,
                               atol=np.spacing(np.float32(8191)))
    assert 0.01 < np.hypot(rows["x"] - old["x"], rows["y"] - old["y"]).max() < 0.2  # FK5 differs from ICRS by 0.03"


@pytest.mark.usefixtures("pair")
def test_one_observation_stays_as_it_is():
    assert run(["merge", "a.fits[energy=500:]", "-o", "merged", "-q"]) == 0
    old, _ = table("a.fits")
    merged, header = table("merged/merged_evt.fits")
    np.testing.assert_array_equal(merged["x"], old["x"][old["energy"] >= 500])
    assert header["TCRVL5"] == RA
    np.testing.assert_array_equal(fits.getdata("merged/broad_thresh.img"), fits.getdata("merged/754_broad_thresh.img"))


@pytest.mark.usefixtures("pair")
def test_columns_that_not_all_have_are_left_out_with_a_warning(capsys):
    b = random_events(500, 3)
    b["phas"] = np.zeros((500, 9), np.int16)
    write_events("b.fits", b, obsid="755", ra=RA, drop=("phas", "grade"))
    assert run(["merge", "a.fits", "b.fits", "-o", "merged", "-q"]) == 0
    warning, = capsys.readouterr().err.splitlines()
    assert "the columns grade are missing in some files" in warning
    assert "left out: phas, grade" in str(table("merged/merged_evt.fits")[1]["HISTORY"]).replace("\n", "")
    assert table("merged/merged_evt.fits")[0].names == [
        "time", "ccd_id", "chipx", "chipy", "x", "y", "energy", "pi", "status"]
    np.testing.assert_array_equal(table("merged/754_reproj_evt.fits")[0]["phas"], table("a.fits")[0]["phas"])
    merged, old = table("merged/merged_evt.fits")[0], table("a.fits")[0]
    np.testing.assert_array_equal(merged["status"][:4000], old["status"])


@pytest.mark.parametrize(("second", "said"), [
    ({"obsid": "754"}, "b.fits: duplicate of a.fits"),
    ({"header": {"READMODE": "CONTINUOUS"}}, "b.fits: is in continuous clocking"),
    ({"obsid": "Merged"}, "b.fits: is merged already"),
])
def test_what_merge_obs_skips_is_skipped_with_a_warning(pair, capsys, second, said):
    write_pair(pair, **second)
    assert run(["merge", "a.fits", "b.fits", "-o", "merged", "-q"]) == 0
    warning, = capsys.readouterr().err.splitlines()
    assert said in warning
    assert len(table("merged/merged_evt.fits")[0]) == 4000


def parts_of(pair, *headers):
    """Two event files of ObsID 754 with other keywords, of 4000 and 500 events."""
    for name, count, header in zip("ab", (4000, 500), headers, strict=True):
        write_events(pair / f"{name}.fits", random_events(count, 3), ra=RA, header=header)


@pytest.mark.parametrize(("headers", "stems"), [
    (({"CYCLE": "P", "OBI_NUM": 0}, {"CYCLE": "S", "OBI_NUM": 0}), ("754e1", "754e2")),
    (({"OBI_NUM": 0}, {"OBI_NUM": 2}), ("754_000", "754_002")),
    (({"CYCLE": "P", "OBI_NUM": 3}, {"CYCLE": "P", "OBI_NUM": 1}), ("754_003", "754_001")),
    (({}, {"TSTART": START + 20_000, "TSTOP": START + 30_000}), ("754_001", "754_002")),
])
def test_parts_of_one_observation_are_merged(pair, capsys, headers, stems):
    parts_of(pair, *headers)
    assert run(["merge", "a.fits", "b.fits", "-o", "merged", "-q"]) == 0
    assert not capsys.readouterr().err
    merged = table("merged/merged_evt.fits")[0]
    assert len(merged) == 4500
    for stem, name in zip(stems, "ab", strict=True):
        np.testing.assert_array_equal(table(f"merged/{stem}_reproj_evt.fits")[0]["time"],
                                      table(f"{name}.fits")[0]["time"])
    counts = [fits.getdata(f"merged/{stem}_broad_thresh.img") for stem in stems]
    np.testing.assert_array_equal(fits.getdata("merged/broad_thresh.img"), sum(counts))


@pytest.mark.parametrize("headers", [({"OBI_NUM": 0}, {}), ({"CYCLE": "P"}, {}), ({"OBI_NUM": 1}, {"OBI_NUM": 1})])
def test_events_that_may_be_the_same_are_not_counted_twice(pair, capsys, headers):
    parts_of(pair, *headers)
    assert run(["merge", "a.fits", "b.fits", "-o", "merged", "-q"]) == 0
    assert "duplicate of a.fits (ObsID 754)" in capsys.readouterr().err
    assert len(table("merged/merged_evt.fits")[0]) == 4000


def test_observations_without_events_are_skipped_and_do_not_count_for_the_mean(pair, capsys):
    write_events("empty.fits", random_events(0), obsid="1", ra=RA + 0.3)
    assert run(["merge", "a.fits", "empty.fits", "b.fits[energy=20000:]", "-o", "merged", "-q"]) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert "empty.fits: holds no events" in first
    assert "no event passes" in second
    assert fits.getheader("merged/merged_evt.fits", 1)["RA_NOM"] == RA
    assert listing(pair / "merged") == ["754_broad_thresh.img", "754_reproj_evt.fits", "broad_thresh.img",
                                        "merged_evt.fits"]


def bad_input(arguments, capsys, folder):
    """The one line that a refused run writes; it must leave no file."""
    before = listing(folder)
    assert run(["merge", *arguments]) == 2
    assert listing(folder) == before
    line, = (line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: "))
    return line


@pytest.mark.parametrize(("arguments", "said"), [
    (["a.fits", "gone.fits"], "gone.fits: no such file"),
    (["@gone.list"], "gone.list"),
    (["a.fits[bin sky=4]"], "remove this"),
    (["a.fits[cols time,x,y]"], "energy"),
    (["a.fits[foo=1]"], "character"),
    (["a.fits[energy=20000:]"], "no event is left"),
    (["a.fits", "--bands", "ultrahard"], "'ultrahard'"),
    (["a.fits", "--binsize", "0"], "0"),
    (["a.fits", "--binsize", "nan"], "nan"),
    (["b.fits", "a.fits", "--binsize", "1e-4"], "too large; give limits, or larger pixels: add [x=low:high] to"),
    (["a.fits", "--binsize", "1e-4"], "--binsize above 0.0001"),
    (["a.fits", "--binsize", "1e-9"], "pixels are too many"),
    (["a.fits", "--refcoord", "here"], "'here'"),
    (["a.fits", "--refcoord", "15:60:00 -59:00:00"], "15:60:00"),
    (["a.fits", "--refcoord", "228.5 -95"], "-95"),
    (["a.fits", "--refcoord", "230.9 -59.14"], "a.fits: its tangent point is 1.24 degrees from --refcoord"),
    (["clean_evt.list"], "not a FITS file"),
])
def test_bad_input_is_one_line_and_leaves_no_file(pair, capsys, arguments, said):
    line = bad_input([*arguments, "-o", "merged"], capsys, pair)
    assert line.startswith("chandra-bin merge: error: ")
    assert said in line


@pytest.mark.parametrize(("change", "said"), [
    ({"ra": RA + 3}, "b.fits: its tangent point is 1.54 degrees from that of a.fits"),
    ({"drop": ("energy",)}, "no column energy"),
    ({"drop": ("x", "y")}, "no column x or y"),
    ({"obsid": ""}, "no OBS_ID"),
])
def test_files_that_cannot_be_merged_are_named(pair, capsys, change, said):
    write_pair(pair, **change)
    line = bad_input(["a.fits", "b.fits", "-o", "merged"], capsys, pair)
    assert "b.fits" in line
    assert said in line


@pytest.mark.parametrize(("column", "value"), [("x", 1e7), ("y", -1e7)])
def test_an_event_far_off_is_named_with_its_file(pair, capsys, column, value):
    with fits.open("b.fits", mode="update") as hdus:
        hdus[1].data[column][7] = value
    line = bad_input(["a.fits", "b.fits", "--refcoord", "b.fits", "-o", "merged"], capsys, pair)
    assert f"b.fits: with its event at {column} = {value:g}, an image of " in line
    assert "is too large" in line
    assert f"add [{column}=low:high] to the name of the file, or give --binsize above 1" in line
    assert run(["merge", "a.fits", f"b.fits[{column}=0:8192]", "--refcoord", "b.fits", "-o", "merged", "-q"]) == 0


def test_a_file_without_sky_coordinates_is_refused(pair, capsys):
    with fits.open("b.fits", mode="update") as hdus:
        for key in [key for key in hdus[1].header if key.startswith("TCTYP")]:
            del hdus[1].header[key]
    line = bad_input(["a.fits", "b.fits", "-o", "merged"], capsys, pair)
    assert "b.fits: the header has no sky coordinates" in line


def test_a_truncated_file_leaves_nothing(pair, capsys):
    content = (pair / "b.fits").read_bytes()
    (pair / "b.fits").write_bytes(content[: len(content) // 2])
    assert "b.fits: block EVENTS is truncated" in bad_input(["a.fits", "b.fits", "-o", "merged"], capsys, pair)


def test_nothing_left_is_an_error(pair, capsys):
    write_pair(pair, obsid="Merged")
    assert run(["merge", "b.fits", "-o", "merged"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("no observation is left to merge, of 1 given")
    assert not (pair / "merged").exists()


def test_an_obsid_never_leaves_the_folder(pair):
    write_pair(pair, obsid="../../b c")
    assert run(["merge", "a.fits", "b.fits", "-o", "deep/merged", "-q"]) == 0
    assert "______b_c_reproj_evt.fits" in listing(pair / "deep/merged")
    assert listing(pair / "deep") == ["merged", *(f"merged/{name}" for name in listing(pair / "deep/merged"))]


def test_outputs_are_replaced_only_when_asked_for_and_inputs_never(pair, capsys):
    assert run(["merge", "@clean_evt.list", "-o", "merged", "-q"]) == 0
    first = {name: (pair / "merged" / name).read_bytes() for name in listing(pair / "merged")}
    assert "exists already" in bad_input(["@clean_evt.list", "-o", "merged"], capsys, pair)
    assert run(["merge", "@clean_evt.list", "-o", "merged", "-q", "--clobber"]) == 0
    assert {name: (pair / "merged" / name).read_bytes() for name in listing(pair / "merged")} == first
    line = bad_input(["merged/754_reproj_evt.fits", "b.fits", "-o", "merged", "--clobber"], capsys, pair)
    assert "input and an output" in line


@pytest.mark.full
def test_a_real_observation_with_itself_elsewhere(shared, tmp_path, monkeypatch):
    """MSH 15-52 and a copy whose tangent point is moved by 3', with x and y moved accordingly."""
    monkeypatch.chdir(tmp_path)
    real = shared / "data/msh1552/msh1552_acis_evt2.fits.gz"
    with fits.open(real) as hdus:
        header = hdus[1].header
        old = column_wcs(header)
        header["OBS_ID"], header["TCRVL11"], header["TCRVL12"] = "755", header["TCRVL11"] + EAST, header["TCRVL12"]
        x, y = column_wcs(header).all_world2pix(
            *old.all_pix2world(hdus[1].data["x"].astype(float), hdus[1].data["y"].astype(float), 1), 1)
        hdus[1].data["x"], hdus[1].data["y"] = x, y
        hdus.writeto("moved.fits")
    merged = merge_observations([f"{real}[energy=500:7000]", "moved.fits[energy=500:7000]"], tmp_path / "merged",
                                refcoord=str(real))
    assert merged.obsids == ("754", "755")
    one, other = (table(f"merged/{obsid}_reproj_evt.fits")[0] for obsid in merged.obsids)
    assert len(one) == len(other) == merged.events // 2 == merged.counts["broad"] // 2
    for axis in "xy":
        assert np.abs(one[axis].astype(float) - other[axis].astype(float)).max() < 1e-3  # float32, moved twice
    np.testing.assert_array_equal(one["phas"], other["phas"])
    header = fits.getheader("merged/merged_evt.fits", 1)
    real_header = fits.getheader(real, 1)
    assert header["EXPOSURE"] == pytest.approx(2 * real_header["EXPOSURE"])
    assert header["DETNAM"] == "ACIS-012379"
    assert header["TCTYP9"] == "LONG-TAN"
    pairs = [f"{key}{n}" for n in range(1, 8) for key in ("MTYPE", "MFORM")]
    for key in ("CONTENT", "HDUNAME", "HDUCLAS1", "DTCOR", *pairs):
        assert header[key] == real_header[key]
    chips = {header[key] for key in header if key.endswith("DSVAL1")}
    assert chips == {"0:0", "1:1", "2:2", "3:3"}
    assert header["DSVAL2"] == real_header["DSVAL2"]
