"""OGIP spectra (type I) as files' contents. Those of one observation differ in a few cards: the rest is made once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chandra_bin.acis.channels import PI_CHANNELS
from chandra_bin.fits.headers import FITS_BLOCK
from chandra_bin.fits.images import product_header

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
_PLAIN = [("CHANNEL", ">i4"), ("COUNTS", ">i4")]
_GROUPED = [*_PLAIN, ("GROUPING", ">i2"), ("QUALITY", ">i2")]
_FORMS = {">i4": "1J", ">i2": "1I"}


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

        self._primary = _filled(Header({"SIMPLE": True, "BITPIX": 8, "NAXIS": 0, "EXTEND": True}).tostring(
            sep="", padding=False).encode())
        about = Header({key: header[key] for key in _KEPT if key in header})
        about.set("FILTER", header.get("FILTER", "none"))
        about.update({f"EXPOSUR{chip}": seconds for chip, seconds in exposures.items()})
        about.update(keywords)
        about.update(
            EXTNAME="SPECTRUM", HDUNAME="SPECTRUM", CONTENT="SPECTRUM", HDUCLASS="OGIP", HDUCLAS1="SPECTRUM",
            HDUCLAS2="BKG" if background else "TOTAL", HDUCLAS3="COUNT", HDUCLAS4="TYPE:I", HDUVERS="1.2.1",
            HDUVERS1="1.2.1", PHAVERSN="1992a", CHANTYPE="PI", DETCHANS=PI_CHANNELS, POISSERR=True, SYS_ERR=0.0,
            AREASCAL=1.0, CORRSCAL=0.0, CORRFILE="none", RESPFILE="none", ANCRFILE="none")
        self._plain = _table_cards(_PLAIN, product_header(about, history, GROUPING=0, QUALITY=0))
        self._grouped = _table_cards(_GROUPED, product_header(about, history))

    def file(self, counts: NDArray[np.int32], *, exposure_s: float, chip: int, backscal: float, bin: int,
             background: str | None = None,
             groups: tuple[NDArray[np.int16], NDArray[np.int16]] | None = None) -> bytes:
        """The file with one spectrum (1024,); ``background`` is the name of its background's file."""
        rows = np.empty(PI_CHANNELS, _PLAIN if groups is None else _GROUPED)
        rows["CHANNEL"] = np.arange(1, PI_CHANNELS + 1)
        rows["COUNTS"] = counts
        if groups is not None:
            rows["GROUPING"], rows["QUALITY"] = groups
        cards = [
            _real("EXPOSURE", exposure_s), _real("LIVETIME", exposure_s), _real("BACKSCAL", backscal),
            _whole("TOTCTS", int(counts.sum(dtype=np.int64))), _whole("CCD_ID", chip), _whole("BINNUM", bin),
            f"BACKFILE= '{background or 'none':8}'".ljust(80), "END".ljust(80)]
        header = (self._plain if groups is None else self._grouped) + "".join(cards).encode()
        return self._primary + _filled(header) + _filled(rows.tobytes(), b"\0")


def _table_cards(columns: list[tuple[str, str]], about: "Header") -> bytes:
    """The cards of a table of 1024 rows, without END."""
    from astropy.io.fits import Header

    made = Header({"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": np.dtype(columns).itemsize,
                   "NAXIS2": PI_CHANNELS, "PCOUNT": 0, "GCOUNT": 1, "TFIELDS": len(columns)})
    for n, (name, kind) in enumerate(columns, start=1):
        made.update({f"TTYPE{n}": name, f"TFORM{n}": _FORMS[kind]})
    made.update(TLMIN1=1, TLMAX1=PI_CHANNELS, TUNIT1="channel", TUNIT2="count", EXTNAME="SPECTRUM")
    made.extend(about.cards, strip=False, end=True)
    text: str = made.tostring(sep="", endcard=False, padding=False)
    return text.encode("ascii", "replace")


def _real(keyword: str, value: float) -> str:
    return f"{keyword:8}= {value:20.14E}".ljust(80)


def _whole(keyword: str, value: int) -> str:
    return f"{keyword:8}= {value:>20}".ljust(80)


def _filled(content: bytes, fill: bytes = b" ") -> bytes:
    """Filled up to whole blocks of FITS."""
    return content + fill * (-len(content) % FITS_BLOCK)
