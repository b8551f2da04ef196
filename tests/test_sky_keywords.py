"""Sky coordinates of images and of table columns, however their keywords are written, against astropy and DS9."""

import re
import warnings

import numpy as np
import pytest
from astropy.io.fits import Header
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from chandra_bin.coords.grids import Grid, GridAxis
from chandra_bin.coords.wcs import ImageCoords
from chandra_bin.errors import InputError
from chandra_bin.fits.images import Image, moved_header
from chandra_bin.fits.sky_keywords import to_columns

SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 32.5, "CRPIX2": 32.5,
       "CDELT1": -0.001, "CDELT2": 0.001, "CUNIT1": "deg", "CUNIT2": "deg"}
DATE = {"MJD-OBS": 54532.7}
AXES = {"ELON": {"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN"}, "GLON": {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}}
# The centre of FITS pixel (20, 40) in ICRS, FK5 and FK4, as SAOImage DS9 8.5 gives it for each header.
DS9 = [
    ({**AXES["ELON"], "RADESYS": "ICRS", **DATE}, (152.8265741, 13.3459986), (152.8265808, 13.3459947),
     (152.1551425, 13.5928352)),
    ({**AXES["ELON"], "RADESYS": "FK5", "EQUINOX": 2000.0, **DATE}, (152.8265741, 13.3459986),
     (152.8265808, 13.3459947), (152.1551425, 13.5928352)),
    ({**AXES["GLON"], "RADESYS": "FK5", **DATE}, (63.3951829, 53.8915568), (63.3951961, 53.8915517),
     (62.4157019, 53.7648222)),
    ({"EPOCH": 1950.0, **DATE}, (150.6576824, 1.7656596), (150.6576902, 1.7656556), (150.0125077, 2.0075)),
    ({"EPOCH": 1950.0}, (150.6576560, 1.7656037), (150.6576528, 1.7655935), (150.0125077, 2.0075)),
    ({"RADESYS": "FK4", "EQUINOX": 1950.0, **DATE}, (150.6576824, 1.7656596), (150.6576902, 1.7656556),
     (150.0125077, 2.0075)),
    ({"RADESYS": "FK5", "EQUINOX": 1975.0, **DATE}, (150.3351143, 1.8867498), (150.3351221, 1.8867457),
     (149.6896019, 2.1278101)),
    ({"RADESYS": "ICRS", "PC001001": 0.8, "PC001002": -0.6, "PC002001": 0.6, "PC002002": 0.8},
     (150.0145088, 1.9984999), (150.0145151, 1.9984950), (149.3687023, 2.2388333)),
    ({"RADESYS": "ICRS", "CDELT1": None, "CDELT2": None, "CD001001": -8e-4, "CD001002": -6e-4, "CD002001": -6e-4,
      "CD002002": 8e-4}, (150.0055034, 2.0135000), (150.0055096, 2.0134950), (149.3596586, 2.2538112)),
]
MAS = 1 / 3.6e6


def header(**changes):
    return Header({key: value for key, value in {**SKY, **changes}.items() if value is not None})


def apart_mas(one, other):
    (lon1, lat1), (lon2, lat2) = one, other
    return float(np.hypot((lon1 - lon2) * np.cos(np.radians(lat1)), lat1 - lat2)) / MAS


@pytest.mark.parametrize(("changes", "icrs", "fk5", "fk4"), DS9)
def test_ds9_finds_the_same_sky(changes, icrs, fk5, fk4):
    """FK4 differs by up to 6 milliarcsec and FK5 of 1975 by 21, other frames by the last digit of DS9's numbers."""
    image = ImageCoords(header(**changes))
    own = image.frame.name
    for name, expected in (("icrs", icrs), ("fk5", fk5), ("fk4", fk4)):
        limit = 25 if "EQUINOX" in changes and own == "fk5" else 8 if (name == "fk4") != (own == "fk4") else 0.4
        assert apart_mas(image.image_to_sky(19, 39, name), expected) < limit, name


def image_pixels_to_sky(made, x, y):
    """astropy's own answer for the image form of keywords."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WCS(made).celestial.all_pix2world(x, y, 0)


OLD_FORMS = [
    {"PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8},
    {"PC001001": 0.8, "PC001002": -0.6, "PC002001": 0.6, "PC002002": 0.8},
    {"PC001001": 0.8, "PC001002": -0.6, "PC002001": 0.6, "PC002002": 0.8, "CROTA2": 10.0},
    {"CD1_1": -8e-4, "CD1_2": 6e-4, "CD2_1": 6e-4, "CD2_2": 8e-4},
    {"CD001001": -8e-4, "CD001002": 6e-4, "CD002001": 6e-4, "CD002002": 8e-4},
    {"CROTA2": 30.0}, {"CROTA1": 30.0}, {"CROTA1": 30.0, "CROTA2": 30.0}, {"LONPOLE": 150.0},
    {"CTYPE1": "RA---ZPN", "CTYPE2": "DEC--ZPN", "PV2_0": 0.0, "PV2_1": 1.0, "PV2_3": 5e4},
    {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "PROJP1": 0.5, "PROJP2": 0.3},
    {"CD1_1": -1e-3, "CD2_2": 1e-3, "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_0": 0.0,
     "PV1_1": 1.0, "PV1_4": 0.5, "PV2_1": 1.0, "PV2_4": 0.3},
    {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "A_1_1": 2e-4,
     "B_0_2": 2e-4, "B_1_1": -1e-4},
]


# CDELTn is 1 where PCi_j has the size of a pixel; CRPIXn is 0.
LEFT_TO_DEFAULTS = [
    {"CDELT1": None, "CDELT2": None, "PC1_1": -8e-4, "PC1_2": -6e-4, "PC2_1": -6e-4, "PC2_2": 8e-4},
    {"CDELT1": None, "CDELT2": None, "PC1_1": -1e-3, "PC2_2": 1e-3},
    {"CRPIX1": None, "CRPIX2": None},
]


@pytest.mark.parametrize("form", OLD_FORMS, ids=lambda form: " ".join(form)[:30])
def test_images_have_the_sky_that_astropy_reads(form):
    made = header(**form)
    if any(key.startswith(("CD0", "CD1_")) for key in form):
        del made["CDELT1"], made["CDELT2"]
    x, y = np.array([0.0, 40.0, 60.0]), np.array([5.0, 20.0, 62.0])
    expected = image_pixels_to_sky(made, x, y)
    image = ImageCoords(made)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(image.image_to_sky(x, y), expected, rtol=1e-13)
    if form != {"CROTA1": 30.0}:  # the angle is that of the latitude's axis
        plain = ImageCoords(header()).image_to_sky(x, y)
        assert not np.allclose(plain, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("form", [*OLD_FORMS, {}, *LEFT_TO_DEFAULTS], ids=lambda form: " ".join(form)[:30])
@pytest.mark.parametrize("step", [(2, 2), (4, 2), (1, 1)])
def test_cropped_and_binned_images_keep_their_sky(form, step):
    """The same place in the sky at the same place of the pixels, also where pixels become oblong."""
    made = header(**form, CRVAL1P=100.0, CRPIX1P=0.5, CDELT1P=1.0, CRVAL2P=100.0, CRPIX2P=0.5, CDELT2P=1.0)
    if any(key.startswith(("CD0", "CD1_")) for key in form):
        del made["CDELT1"], made["CDELT2"]
    moved = ImageCoords(moved_header(Image(np.zeros((64, 64)), made, None), (6, 3), step))
    x, y = np.array([110.0, 140.0, 160.0]), np.array([105.0, 120.0, 162.0])
    np.testing.assert_allclose(moved.physical_to_sky(x, y), ImageCoords(made).physical_to_sky(x, y), atol=1e-10)


numbers = st.floats(-1.0, 1.0).map(lambda value: round(value, 3))


@st.composite
def pixel_lists(draw):
    """The image form of a header, without alternate forms, and the numbers of two columns."""
    columns = draw(st.permutations(range(1, 13)))[:2]
    kind = draw(st.sampled_from(["RA", "GLON", "ELON"]))
    projection = draw(st.sampled_from(["TAN", "SIN", "ARC", "ZEA", "STG", "CAR", "AIT"]))
    names = {"RA": ("RA--", "DEC-"), "GLON": ("GLON", "GLAT"), "ELON": ("ELON", "ELAT")}[kind]
    order = draw(st.permutations([0, 1]))
    values = (150 + 40 * draw(numbers), 60 * draw(numbers))
    made = {}
    for n, axis in enumerate(order, start=1):
        made |= {f"CTYPE{n}": f"{names[axis]}-{projection}", f"CRVAL{n}": values[axis],
                 f"CRPIX{n}": 500 + 100 * draw(numbers), f"CUNIT{n}": "deg"}
        made[f"CDELT{n}"] = draw(st.sampled_from([-1, 1])) * draw(st.floats(0.0005, 0.01))
    form = draw(st.sampled_from(["plain", "rotation", "PC", "CD"]))
    if form == "rotation":
        made[f"CROTA{order.index(1) + 1}"] = 180 * draw(numbers)
    elif form != "plain":
        scale = 1.0 if form == "PC" else 0.003
        for i in (1, 2):
            for j in (1, 2):
                made[f"{form}{i}_{j}"] = scale * (float(i == j) * 2 + draw(numbers))
        if form == "CD":
            del made["CDELT1"], made["CDELT2"]
    if draw(st.booleans()) and projection not in ("AIT", "CAR"):
        made["LONPOLE"] = 180 + 60 * draw(numbers)
    if projection == "SIN" and draw(st.booleans()):
        made |= {f"PV{order.index(1) + 1}_{m}": 0.3 * draw(numbers) for m in (1, 2)}
    if kind == "RA":
        made |= draw(st.sampled_from([{}, {"RADESYS": "FK5", "EQUINOX": 2000.0}, {"RADESYS": "ICRS"},
                                      {"RADESYS": "FK4", "EQUINOX": 1950.0}, {"EQUINOX": 1950.0}]))
    return made, columns


def column_header(keywords, columns, short):
    """The pixel-list form, in the long or the short names of matrices and parameters, with its frame by column."""
    made = Header({"TFIELDS": 12})
    for n in range(1, 13):
        made[f"TTYPE{n}"] = f"c{n}"
    made[f"TTYPE{columns[0]}"], made[f"TTYPE{columns[1]}"] = "X", "Y"
    for key, value in to_columns(keywords, tuple(columns)).items():
        made[re.sub(r"^T(?:([PC])[CD]|P([VS]))(\d+_)", r"T\1\2\3", key) if short else key] = value
    for key, name in (("RADESYS", "RADE"), ("EQUINOX", "EQUI")):
        if key in keywords:
            made[f"{name}{columns[0]}"] = keywords[key]
    return made


@settings(max_examples=100, deadline=None)
@given(pixel_lists(), st.booleans())
def test_images_and_columns_of_one_sky_agree(case, short):
    """Our two readings, astropy's of the image form, and WCSLIB's own of the columns."""
    keywords, columns = case
    x, y = np.array([480.0, 500.0, 530.0]), np.array([495.0, 520.0, 470.0])
    table = column_header(keywords, columns, short)
    events, image = ImageCoords.from_events(table), ImageCoords(Header(keywords))
    expected = image.image_to_sky(x - 1, y - 1)
    np.testing.assert_allclose(events.physical_to_sky(x, y), expected, rtol=0, atol=1e-11)
    assert events.frame.is_equivalent_frame(image.frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_columns = WCS(table, keysel=["pixel"], colsel=sorted(columns))
    pixels = [x, y] if columns[0] < columns[1] else [y, x]
    world = by_columns.wcs_pix2world(*pixels, 1)
    found = world[by_columns.wcs.lng], world[by_columns.wcs.lat]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(pixel_lists(), st.sampled_from([(1.0, 1.0), (4.0, 4.0), (4.0, 1.0), (1.0, 8.0)]))
def test_images_of_events_have_the_sky_of_the_events(case, step):
    keywords, columns = case
    events = ImageCoords.from_events(column_header(keywords, columns, short=False))
    made = Header()
    Grid(GridAxis(420.5, step[0], 100), GridAxis(440.5, step[1], 90)).put_into(made, events)
    image = ImageCoords(made)
    x, y = np.array([480.0, 500.0, 530.0]), np.array([495.0, 520.0, 470.0])
    np.testing.assert_allclose(image.physical_to_sky(x, y, "icrs"), events.physical_to_sky(x, y, "icrs"), rtol=0,
                               atol=1e-9)


def test_keywords_of_a_column_win_over_those_of_the_header():
    table = column_header({**SKY, "LONPOLE": 170.0}, (3, 4), short=False)
    table.update({"RADESYS": "FK5", "RADE3": "ICRS", "LONPOLE": 90.0, "MJD-OBS": 1.0, "MJDOB3": 2.0})
    events = ImageCoords.from_events(table)
    assert events.frame.name == "icrs"
    assert events.mjd == 2.0
    assert events.sky.wcs.lonpole == 170.0


@pytest.mark.parametrize(("changes", "message"), [
    ({"TCTYP3": "RA---TAN-SIP"}, "TCTYP3 is 'RA---TAN-SIP', but FITS has no keywords"),
    ({"TCRVL3": "here"}, "TCRVL3 is 'here'"),
    ({"TCDLT4": 0.0}, "TCDLT4 is 0"),
    ({"TP3_4": "x"}, "TP3_4 is 'x'"),
    ({"RADE3": "FK5", "RADE4": "ICRS"}, "RADE3 and RADE4 differ"),
])
def test_columns_that_give_no_sky(changes, message):
    table = column_header(SKY, (3, 4), short=False)
    table.update(changes)
    with pytest.raises(InputError, match=message):
        ImageCoords.from_events(table).need_sky()


@pytest.mark.parametrize(("changes", "message"), [
    ({"CPDIS1": "LOOKUP"}, "the distortion of CPDIS1 is not supported"),
    ({"EQUINOX": "soon"}, "EQUINOX must be a number, got 'soon'"),
    ({"CRVAL1": "x"}, "CRVAL1 must be a number, got 'x'"),
    ({"CTYPE2": "VELO"}, "CTYPE1 is 'RA---TAN' and CTYPE2 'VELO'"),
    ({"CTYPE1": "RA", "CTYPE2": "DEC"}, "with a projection such as RA---TAN"),
    ({"RADESYS": "J2000"}, "unknown frame"),
    ({"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN", "EQUINOX": 1950.0}, "unknown frame"),
])
def test_images_that_give_no_sky(changes, message):
    image = ImageCoords(header(**changes))
    with pytest.raises(InputError, match=message):
        image.image_to_sky(1.0, 1.0, "icrs")


@pytest.mark.parametrize("types", [("RAWX", "RAWY"), ("RADIUS", "RATE"), ("DECAY", "TIME"), ("DETX", "DETY")])
def test_axes_that_are_not_of_the_sky(types):
    assert ImageCoords(header(CTYPE1=types[0], CTYPE2=types[1])).sky is None


def test_an_equinox_written_as_text():
    assert ImageCoords(header(EQUINOX="J2000.0")).frame.name == "fk5"
    assert ImageCoords(header(EQUINOX="1950")).frame.name == "fk4"
