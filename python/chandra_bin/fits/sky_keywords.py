"""Keywords of sky coordinates: those of images and of table columns, and conversion between them.

The forms follow Greisen & Calabretta 2002 (A&A 395, 1061, tables 1 and 2), Calabretta & Greisen 2002 (A&A 395, 1077)
and the FITS standard 4.0 (table 22). Older forms that astropy reads are accepted: ``EPOCH``, ``RADECSYS``, ``CROTAn``,
``PC00i00j`` and ``CD00i00j``. Only primary coordinates are used; alternate ones have a letter at the end.
"""

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chandra_bin.errors import InputError, UnusableSky

from .headers import is_number

if TYPE_CHECKING:
    from astropy.io.fits import Header

Keywords = dict[str, Any]
Pair = tuple[float, float]

# Keywords of one axis, in images and in columns.
_OF_AXIS = {"CTYPE": "TCTYP", "CRVAL": "TCRVL", "CRPIX": "TCRPX", "CDELT": "TCDLT", "CUNIT": "TCUNI", "CROTA": "TCROT"}
# Matrices and parameters, in images and in columns; the short column form lacks the second letter.
_OF_PAIR = {"PC": "TPC", "CD": "TCD"}
_OF_PARAMETER = {"PV": "TPV", "PS": "TPS"}
# Keywords of a whole coordinate system, in headers and in columns.
_OF_ALL = {"LONPOLE": "LONP", "LATPOLE": "LATP", "RADESYS": "RADE", "EQUINOX": "EQUI", "MJD-OBS": "MJDOB",
           "DATE-OBS": "DOBS"}
_TEXTS = ("CTYPE", "CUNIT", "PS", "RADESYS", "DATE-OBS")
_OLD_NAMES = {"RADECSYS": "RADESYS", "EPOCH": "EQUINOX", "MJD_OBS": "MJD-OBS"}
_OLD_MATRIX = re.compile(r"(PC|CD)00(\d)00(\d)")
_OLD_PARAMETER = re.compile(r"PROJP(\d+)")
_MATRIX = re.compile(r"(PC|CD)(\d+)_(\d+)")
_SIP = re.compile(r"([AB])P?_(\d+)_(\d+)")
_ON_PIXELS = re.compile(r"(CPDIS|CQDIS|D2IMDIS)\d")
# Keywords of an image's primary sky coordinates.
_PRIMARY = re.compile(
    r"WCSAXES|(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)\d+|(PC|CD)(\d+_\d+|00\d00\d)|(PV|PS)\d+_\d+|PROJP\d+"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH|[AB]P?_(ORDER|DMAX|\d+_\d+)|WAT\d_\d+|(C[PQ]DIS|D2IMDIS|D[PQ])\d.*")
_OF_COLUMNS = re.compile(r"T(CTYP|CRVL|CRPX|CDLT|CUNI|CROT)\d+|(TPC?|TCD?)\d+_\d+|(LONP|LATP|RADE|EQUI)\d+")
# Keywords that do not affect the sky but make WCSLIB warn or fail: alternate coordinates, times, structure.
_NOT_PRIMARY = re.compile(
    r"(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CNAME|CRDER|CSYER|CZPHS|CPERI)\d+[A-Z]|(PC|CD|PV|PS)\d+_\d+[A-Z]"
    r"|(WCSAXES|WCSNAME|LONPOLE|LATPOLE|RADESYS|EQUINOX)[A-Z]|WCSTY.*|LT[VM].*|DATE.*|MJD.*|TIME.*|OBSGEO.*|[BJ]EPOCH"
    r"|T(START|STOP|ELAPSE|REFPOS|REFDIR)|PLEPHEM|VEL(REF|OSYS|ANGL)|SPECSYS|ZSOURCE|(SSYS)?REST.*"
    r"|SIMPLE|XTENSION|BITPIX|EXTEND|GROUPS|PCOUNT|GCOUNT|BSCALE|BZERO|BLANK|HISTORY|COMMENT|CHECKSUM|DATASUM|CONTINUE|"
    r"|T[A-Z]{4}\d+|DS(TYP|VAL|FORM|REF|UNIT)\d+|\d[A-Z]+\d+")
# Sky axes of equatorial, galactic and ecliptic coordinates.
_AXES = re.compile(r"(RA--|DEC-|[GE]L(?:ON|AT))-[A-Z]{3}(-SIP)?")
_CLAIMED = re.compile(r"(RA|DEC|[GE]L(ON|AT))(-.*)?")
_PAIRS = ({"RA--", "DEC-"}, {"GLON", "GLAT"}, {"ELON", "ELAT"})
_NUMBERS = re.compile(r"(CRVAL|CRPIX|CDELT|CROTA)[12]|(PC|CD)[12]_[12]|PV[12]_\d+|LONPOLE|LATPOLE|EQUINOX")
# Units of angles. Old names of the degree are replaced, as astropy warns about them.
_ANGLES = {"degree": "deg", "degrees": "deg", **{name: name for name in ("", "deg", "arcmin", "arcsec", "mas", "rad")}}
# Names that begin like those of sky axes.
_LOOKALIKE = re.compile(r"RA|DEC|[GE]L(ON|AT)")


def sky_axes(header: "Mapping[str, Any]") -> tuple[str, str] | None:
    """Return the first four letters of CTYPE1 and CTYPE2 if both are sky axes, such as ``("RA--", "DEC-")``, else None.

    Raises `InputError` if only one is a sky axis, and for names without a projection.
    """
    types = [str(header.get(f"CTYPE{n}", "")).strip() for n in (1, 2)]
    found = [match[1] if (match := _AXES.fullmatch(each)) else "" for each in types]
    if set(found) in _PAIRS:
        return found[0], found[1]
    if any(_CLAIMED.fullmatch(each) for each in types):
        raise unusable(f"CTYPE1 is {types[0]!r} and CTYPE2 {types[1]!r}, not a longitude and a latitude with a "
                       "projection such as RA---TAN and DEC--TAN")
    return None


def resembles_sky(header: "Mapping[str, Any]") -> bool:
    """Return whether a CTYPE begins like that of a sky axis (RAWX and RATE do)."""
    return any(_LOOKALIKE.match(str(header.get(f"CTYPE{n}", ""))) for n in (1, 2))


def for_astropy(header: "Header") -> "Header":
    """Return the header from which astropy makes the sky WCS: all keywords except those that do not affect the sky.

    Obsolete keywords get their current names, to avoid astropy's warnings. Raises `InputError` for values that are not
    numbers, and for table-based distortions, which astropy can only read from the whole file.
    """
    kept = {card.keyword: card.value for card in header.cards
            if not _NOT_PRIMARY.fullmatch(card.keyword) and card.keyword not in _OLD_NAMES}
    for old, name in _OLD_NAMES.items():
        if old in header and name not in kept and name != "MJD-OBS":
            kept[name] = header[old]
    made = header.__class__()
    for name, value in _with_new_names(kept).items():
        if _ON_PIXELS.match(name):
            raise unusable(f"the distortion of {name} is not supported")
        if name in ("CUNIT1", "CUNIT2"):
            if str(value).strip().lower() not in _ANGLES:
                raise unusable(f"{name} is {value!r}, which is not a unit of angles")
            made[name] = _ANGLES[str(value).strip().lower()]
        elif isinstance(value, str) and _NUMBERS.fullmatch(name):
            made[name] = _as_number(name, value)
        else:
            made[name] = value
    return made


def unusable(reason: str) -> UnusableSky:
    """Return the error for unusable sky coordinates; ``reason`` names the keyword and its value."""
    return UnusableSky(f"the header's sky coordinates cannot be used: {reason}; correct the header (dmhedit)")


def gives_sky(keyword: str) -> bool:
    """Return whether a keyword gives sky coordinates, of an image or of table columns."""
    return bool(_PRIMARY.fullmatch(keyword) or _OF_COLUMNS.fullmatch(keyword))


def without_sky(header: "Header") -> "Header":
    """Return a header without the keywords of primary sky coordinates; physical coordinates remain."""
    return header.__class__([card for card in header.copy().cards if not _PRIMARY.fullmatch(card.keyword)])


def is_of_sky(keyword: str) -> bool:
    """Return whether a keyword of an image belongs to its primary sky coordinates."""
    return bool(_PRIMARY.fullmatch(keyword))


def from_columns(header: "Header", columns: tuple[int, int]) -> Keywords:
    """Return the keywords of an image with pixels of one column unit, from those of two table columns (numbers from 1).

    Keywords of a column take precedence over those of the whole header. Raises `InputError` for values that are not
    numbers, a step of 0, and distortions that a table cannot describe.
    """
    made: Keywords = {}
    for n, column in enumerate(columns, start=1):
        for name, of_column in _OF_AXIS.items():
            _take(made, header, f"{of_column}{column}", f"{name}{n}")
        if str(made.get(f"CTYPE{n}", "")).rstrip().endswith("-SIP"):
            raise unusable(f"TCTYP{column} is {made[f'CTYPE{n}']!r}, but FITS has no keywords for this distortion in "
                           "tables")
        if made.get(f"CDELT{n}") == 0:
            raise unusable(f"TCDLT{column} is 0")
        for name, of_column in _OF_PAIR.items():
            for other, column_2 in enumerate(columns, start=1):
                for key in (f"{of_column[:2]}{column}_{column_2}", f"{of_column}{column}_{column_2}"):
                    _take(made, header, key, f"{name}{n}_{other}")
        for name in _OF_PARAMETER:
            pattern = re.compile(f"T{name[0]}?{name[1]}{column}_(\\d+)")
            for match in filter(None, map(pattern.fullmatch, header)):
                _take(made, header, match[0], f"{name}{n}_{match[1]}")
    return made | _of_whole(header, columns)


def _of_whole(header: "Header", columns: tuple[int, int]) -> Keywords:
    """Return the keywords of the frame, poles and date, from the columns or else from the whole header."""
    made: Keywords = {}
    for old, name in (*_OLD_NAMES.items(), *zip(_OF_ALL, _OF_ALL, strict=True)):
        if old in header:
            made[name] = header[old]
    for name, of_column in _OF_ALL.items():
        keys = [f"{of_column}{column}" for column in columns if f"{of_column}{column}" in header]
        if len({header[key] for key in keys}) > 1:
            raise unusable(f"{' and '.join(keys)} differ")
        for key in keys:
            _take(made, header, key, name)
    return made


def to_columns(keywords: Mapping[str, Any], columns: tuple[int, int]) -> Keywords | None:
    """Return column keywords from image keywords, the inverse of `from_columns`; None for pixel distortions."""
    if any(_SIP.fullmatch(key) or _ON_PIXELS.match(key) for key in keywords):
        return None
    today = _with_new_names(keywords)
    made: Keywords = {}
    for n, column in enumerate(columns, start=1):
        for name, of_column in _OF_AXIS.items():
            if f"{name}{n}" in today:
                made[f"{of_column}{column}"] = today[f"{name}{n}"]
    for key, value in today.items():
        if (match := _MATRIX.fullmatch(key)) and max(int(match[2]), int(match[3])) <= 2:
            made[f"{_OF_PAIR[match[1]]}{columns[int(match[2]) - 1]}_{columns[int(match[3]) - 1]}"] = value
        elif (match := re.fullmatch(r"(PV|PS)([12])_(\d+)", key)) is not None:
            made[f"{_OF_PARAMETER[match[1]]}{columns[int(match[2]) - 1]}_{match[3]}"] = value
        elif key in ("LONPOLE", "LATPOLE"):
            made |= {f"{_OF_ALL[key]}{column}": value for column in columns}
    return made


def column_keys(header: "Header", columns: tuple[int, int]) -> list[str]:
    """Return the keywords of a table header that give coordinates of these two columns."""
    ends = "|".join(map(str, columns))
    one = "|".join((*_OF_AXIS.values(), *_OF_ALL.values()))
    pattern = re.compile(f"({one})({ends})|(TPC?|TCD?)({ends})_({ends})|(TP?V|TP?S)({ends})_\\d+")
    return [key for key in header if pattern.fullmatch(key)]


def moved_sky(keywords: Mapping[str, Any], edge: Pair, step: Pair) -> Keywords:
    """Return the keywords of an image whose first pixel begins at ``edge`` and whose pixels span ``step`` old ones.

    ``edge`` (x, y) is in FITS pixels of the old image, where the first pixel begins at 0.5. Unchanged keywords are not
    in the result; a value of None means to remove the keyword. Raises `InputError` for values that are not numbers, and
    for table-based distortions, which cannot be moved.
    """
    made: Keywords = {}
    if edge == (0.5, 0.5) and step == (1, 1):
        return made
    tables = [key for key in keywords if _ON_PIXELS.match(key)]
    if tables:
        raise InputError(f"the sky has a distortion ({tables[0]}) that cannot be cropped or binned")
    for n, (first, width) in enumerate(zip(edge, step, strict=True), start=1):
        if f"CRPIX{n}" in keywords or f"CTYPE{n}" in keywords:
            made[f"CRPIX{n}"] = 0.5 + (_number({f"CRPIX{n}": 0.0, **keywords}, f"CRPIX{n}") - first) / width
    for key in keywords:
        if match := _SIP.fullmatch(key):
            p, q = int(match[2]), int(match[3])
            factor = step[0] ** p * step[1] ** q / step["AB".index(match[1])]
            made[key] = _number(keywords, key) * factor
    return made | _stepped_scales(keywords, step)


def _stepped_scales(keywords: Mapping[str, Any], step: Pair) -> Keywords:
    """Return CDi_j, or PCi_j and CDELTi, of pixels that span ``step`` old ones."""
    cd = [key for key in keywords if key.startswith("CD") and (_MATRIX.fullmatch(key) or _OLD_MATRIX.fullmatch(key))]
    made = {key: _number(keywords, key) * step[int(key[-1]) - 1] for key in cd if int(key[-1]) <= 2} if cd else (
        _stepped_matrix(keywords, step))
    for n, width in enumerate(step, start=1):
        if f"CDELT{n}" in keywords:
            made[f"CDELT{n}"] = _number(keywords, f"CDELT{n}") * width
        elif f"CTYPE{n}" in keywords and not cd and width != 1:
            made[f"CDELT{n}"] = float(width)  # CDELTn defaults to 1 if PCi_j contains the pixel size
    return made


def _stepped_matrix(keywords: Mapping[str, Any], step: Pair) -> Keywords:
    """Return PCi_j of pixels that are no longer square: CDELTi gets the step of axis i, PCi_j needs that of axis j."""
    if step[0] == step[1]:
        return {}
    today = _with_new_names(keywords)
    turns = [key for key in ("CROTA1", "CROTA2") if today.get(key)]
    made: Keywords = {}
    if turns and not any(_MATRIX.fullmatch(key) for key in today):
        lat = _latitude(today)
        lon, angle = 3 - lat, math.radians(float(today.get(f"CROTA{lat}", 0.0)))
        ratio = float(today.get(f"CDELT{lat}", 1.0)) / float(today.get(f"CDELT{lon}", 1.0))
        today |= {f"PC{lon}_{lon}": math.cos(angle), f"PC{lon}_{lat}": -ratio * math.sin(angle),
                  f"PC{lat}_{lon}": math.sin(angle) / ratio, f"PC{lat}_{lat}": math.cos(angle)}
        made |= dict.fromkeys((key for key in ("CROTA1", "CROTA2") if key in keywords), None)
    if not (today.get("PC1_2") or today.get("PC2_1")):
        return made
    made |= dict.fromkeys((key for key in keywords if _OLD_MATRIX.fullmatch(key)), None)
    for i, j in ((1, 1), (1, 2), (2, 1), (2, 2)):
        value = float(today.get(f"PC{i}_{j}", float(i == j)))
        made[f"PC{i}_{j}"] = value * step[j - 1] / step[i - 1]
    return made


def _latitude(keywords: Mapping[str, Any]) -> int:
    """Return the number of the latitude axis, 1 or 2."""
    return 1 if str(keywords.get("CTYPE1", "")).startswith(("DEC", "GLAT", "ELAT")) else 2


def _with_new_names(keywords: Mapping[str, Any]) -> Keywords:
    """Return the keywords with PC00i00j, CD00i00j and PROJPm (parameters of the latitude axis) under current names."""
    made: Keywords = {}
    for key, value in keywords.items():
        name = key
        if match := _OLD_MATRIX.fullmatch(key):
            name = f"{match[1]}{match[2]}_{match[3]}"
        elif match := _OLD_PARAMETER.fullmatch(key):
            name = f"PV{_latitude(keywords)}_{match[1]}"
        if name == key or name not in keywords:
            made[name] = value
    return made


def _take(made: Keywords, header: "Header", key: str, name: str) -> None:
    """Copy a keyword of a header under a new name; raise `InputError` if it should be a number but is not."""
    if key not in header:
        return
    value = header[key]
    if not name.startswith(_TEXTS) and not is_number(value):
        raise unusable(f"{key} is {value!r}")
    made[name] = value


def _as_number(name: str, text: str) -> float:
    """Return the number in a text: ``'2000.0'``, and for an equinox also ``'J2000.0'``."""
    try:
        number = float(text.strip().lstrip("JB") if name == "EQUINOX" else text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise unusable(f"{name} must be a number, got {text!r}")
    return number


def _number(keywords: Mapping[str, Any], key: str) -> float:
    """Return the numeric value of a keyword."""
    value = keywords[key]
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"the keyword {key} must be a number, got {value!r}") from None
