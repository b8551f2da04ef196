"""OGIP spectra as files' contents: one a file (type I), and those of all bins in one table (type II).

The type I files of one observation differ in a few cards: the rest is made once.
"""

import re
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chandra_bin._checks.array_types import Floats, Wholes
from chandra_bin.acis.channels import PI_CHANNELS
from chandra_bin.fits.headers import HeaderForm, filled
from chandra_bin.fits.images import product_header
from chandra_bin.fits.new_table import NewColumn, new_table
from chandra_bin.fits.tables import Rows, table_header, write_empty_primary, write_rows

if TYPE_CHECKING:
    from astropy.io.fits import Header

# Of the events' keywords, those that hold for a spectrum too.
_KEPT = ("ORIGIN", "ASCDSVER", "CALDBVER", "MISSION", "TELESCOP", "INSTRUME", "DETNAM", "GRATING", "FILTER", "OBJECT",
         "TITLE", "OBSERVER", "OBS_ID", "OBI_NUM", "SEQ_NUM", "OBS_MODE", "DATAMODE", "READMODE", "DATE-OBS",
         "DATE-END", "MJD-OBS", "MJD_OBS", "MJDREF", "MJDREFI", "MJDREFF", "TIMEZERO", "TIMESYS", "TIMEUNIT", "TIMEREF",
         "TSTART", "TSTOP", "TIMEDEL", "RADESYS", "RADECSYS", "EQUINOX", "RA_NOM", "DEC_NOM", "ROLL_NOM", "RA_PNT",
         "DEC_PNT", "ROLL_PNT", "RA_TARG", "DEC_TARG", "SIM_X", "SIM_Y", "SIM_Z", "DEFOCUS", "FOC_LEN", "FP_TEMP",
         "DTCOR", "CTI_CORR", "CTI_APP", "CTIFILE", "GAINFILE", "GRD_FILE", "ASOLFILE", "BPIXFILE", "MASKFILE",
         "PBKFILE")
# The blocks of the file of all bins.
SPECTRUM_BLOCK, BACKGROUND_BLOCK = "SPECTRUM", "BACKGROUND"
# Bytes of a card of a FITS header.
_CARD = 80
_NO_COUNTS = np.zeros(PI_CHANNELS, np.int32)
_PLAIN = [NewColumn("CHANNEL", "1J", np.arange(1, PI_CHANNELS + 1)), NewColumn("COUNTS", "1J", _NO_COUNTS)]
_GROUPED = [*_PLAIN, NewColumn("GROUPING", "1I", _NO_COUNTS), NewColumn("QUALITY", "1I", _NO_COUNTS)]


class PhaWriter:
    """The spectra of one observation.

    Parameters
    ----------
    header : of the events.
    exposures : live time in s by chip.
    history : lines of HISTORY.
    background : whether these are the background's.
    keywords : more of them, equal in all files.
    """

    def __init__(self, header: "Header", exposures: dict[int, float], history: Sequence[str], *, background: bool,
                 keywords: dict[str, float | str]) -> None:
        from astropy.io.fits import Header

        primary = BytesIO()
        write_empty_primary(primary, Header())
        self._primary = primary.getvalue()
        about = Header({key: header[key] for key in _KEPT if key in header})
        about.set("FILTER", header.get("FILTER", "none"))
        about.update({f"EXPOSUR{chip}": seconds for chip, seconds in exposures.items()})
        about.update(keywords)
        about.update(
            EXTNAME="SPECTRUM", HDUNAME="SPECTRUM", CONTENT="SPECTRUM", HDUCLASS="OGIP", HDUCLAS1="SPECTRUM",
            HDUCLAS2="BKG" if background else "TOTAL", HDUCLAS3="COUNT", HDUCLAS4="TYPE:I", HDUVERS="1.2.1",
            HDUVERS1="1.2.1", PHAVERSN="1992a", CHANTYPE="PI", DETCHANS=PI_CHANNELS, POISSERR=True, SYS_ERR=0.0,
            AREASCAL=1.0, CORRSCAL=0.0, CORRFILE="none", RESPFILE="none", ANCRFILE="none")
        self._about, self._history = about, history
        self._block = BACKGROUND_BLOCK if background else SPECTRUM_BLOCK
        self._plain = _form(_PLAIN, product_header(about, history, GROUPING=0, QUALITY=0))
        self._grouped = _form(_GROUPED, product_header(about, history))

    def file(self, counts: NDArray[np.int32], *, exposure_s: float, chip: int, backscal: float, bin: int,
             background: str | None = None,
             groups: tuple[NDArray[np.int16], NDArray[np.int16]] | None = None) -> bytes:
        """Return the file of one spectrum (1024,); ``background`` is the name of its background's file.

        Responses are named later, by `naming_responses`, when their files exist.
        """
        form, empty = self._plain if groups is None else self._grouped
        rows = empty.copy()
        rows["COUNTS"] = counts
        if groups is not None:
            rows["GROUPING"], rows["QUALITY"] = groups
        header = form.filled({
            "EXPOSURE": float(exposure_s), "LIVETIME": float(exposure_s), "BACKSCAL": float(backscal),
            "TOTCTS": int(counts.sum(dtype=np.int64)), "CCD_ID": int(chip), "BINNUM": int(bin),
            "BACKFILE": background or "none"})
        return self._primary + header + filled(rows.tobytes())

    def write_table(self, file: BinaryIO, counts: NDArray[np.int32], *, exposure_s: Floats, chips: Wholes,
                    backscal: Floats, bins: Sequence[int]) -> None:
        """Write the spectra of all bins (bins, 1024) as one type II table, behind what ``file`` holds already."""
        columns = [
            NewColumn("SPEC_NUM", "1J", np.arange(1, len(bins) + 1)), NewColumn("BINNUM", "1J", bins),
            NewColumn("CHANNEL", f"{PI_CHANNELS}I", np.tile(np.arange(1, PI_CHANNELS + 1), (len(bins), 1)), "channel"),
            NewColumn("COUNTS", f"{PI_CHANNELS}J", counts, "count"), NewColumn("EXPOSURE", "1D", exposure_s, "s"),
            NewColumn("BACKSCAL", "1D", backscal), NewColumn("CCD_ID", "1I", chips)]
        header, rows = new_table(columns)
        cards = product_header(self._about, self._history, GROUPING=0, QUALITY=0, HDUCLAS4="TYPE:II")
        header.update(TLMIN3=1, TLMAX3=PI_CHANNELS, EXTNAME=self._block)
        others = [card for card in cards.cards if card.keyword not in ("EXTNAME", "HDUNAME")]
        header.extend(others, strip=False, end=True)
        header["HDUNAME"] = self._block
        write_rows(file, header, [rows])


def naming_responses(content: bytes, arf: str, rmf: str) -> bytes | None:
    """Return the content of a PHA file with the names of its ARF and RMF in the header.

    Only the values of ANCRFILE and RESPFILE change. None for a file whose headers do not have both keywords.
    """
    from astropy.io.fits import Card

    for key, name in (("ANCRFILE", arf), ("RESPFILE", rmf)):
        place = _place_of(content, key)
        if place is None:
            return None
        content = content[:place] + str(Card(key, name)).encode() + content[place + _CARD:]
    return content


def keyword_of(content: bytes, key: str) -> str:
    """Return the text of the first keyword of this name in a PHA file; empty if it is missing or damaged."""
    from astropy.io.fits import Card, VerifyError

    place = _place_of(content, key)
    try:
        return "" if place is None else str(Card.fromstring(content[place:place + _CARD]).value).strip()
    except VerifyError:
        return ""


def _place_of(content: bytes, key: str) -> int | None:
    """Return where the first card of a keyword begins that holds a text."""
    return next((match.start() for match in re.finditer(rb"%-8s= '" % key.encode(), content)
                 if match.start() % _CARD == 0), None)


def _form(columns: list[NewColumn], about: "Header") -> tuple[HeaderForm, Rows]:
    """Return the header of a table of 1024 rows, and these rows without counts."""
    header, rows = new_table(columns)
    header.update(TLMIN1=1, TLMAX1=PI_CHANNELS, TUNIT1="channel", TUNIT2="count", EXTNAME="SPECTRUM")
    header.extend(about.cards, strip=False, end=True)
    return HeaderForm(table_header(header, len(rows), rows.dtype.itemsize)), rows
