"""Small event files with the structure of ACIS's, for tests."""

import numpy as np
from astropy.io import fits

TANGENT = 4096.5
PIXEL_DEG = 1.3666666666667e-4
START = 82_650_000.0

# Name, format, unit, TLMIN, TLMAX, as in files of the archive.
_COLUMNS = [
    ("time", "1D", "s", None, None),
    ("ccd_id", "1I", None, 0, 9),
    ("chipx", "1I", "pixel", 1, 1024),
    ("chipy", "1I", "pixel", 1, 1024),
    ("x", "1E", "pixel", 0.5, 8192.5),
    ("y", "1E", "pixel", 0.5, 8192.5),
    ("phas", "9I", "adu", None, None),
    ("energy", "1E", "eV", 0.0, 1e6),
    ("pi", "1J", "chan", 1, 1024),
    ("grade", "1I", None, 0, 7),
    ("status", "32X", None, None, None),
]


def random_events(count, seed=0, *, chips=(0, 1, 2, 3), seconds=10_000.0, spread_px=300.0):
    """Columns of random events around the tangent point."""
    draw = np.random.default_rng(seed)
    energy = draw.uniform(300, 12_000, count).astype(np.float32)
    return {
        "time": np.sort(draw.uniform(START, START + seconds, count)),
        "ccd_id": draw.choice(chips, count).astype(np.int16),
        "chipx": draw.integers(1, 1025, count).astype(np.int16),
        "chipy": draw.integers(1, 1025, count).astype(np.int16),
        "x": draw.normal(TANGENT, spread_px, count).astype(np.float32),
        "y": draw.normal(TANGENT, spread_px, count).astype(np.float32),
        "phas": draw.integers(-5, 500, (count, 9)).astype(np.int16),
        "energy": energy,
        "pi": np.minimum(1024, np.floor(energy.astype(float) / 14.6) + 1).astype(np.int32),
        "grade": draw.choice([0, 2, 3, 4, 6], count).astype(np.int16),
        "status": draw.integers(0, 2, (count, 32)).astype(bool) & (draw.random((count, 1)) < 0.2),
    }


def write_events(path, columns, *, good_times=None, obsid="754", ra=228.475, dec=-59.14, header=None, drop=(),
                 seconds=10_000.0, dtcor=0.98734):
    """Writes an event file; ``good_times``: {chip: [(start, stop), ...]}, by default all of ``seconds``, each chip.

    The first chip is the aim point's. ``header``: more keywords of EVENTS; ``drop``: columns to leave out.
    """
    if good_times is None:
        good_times = {int(chip): [(START, START + seconds)] for chip in np.unique(columns["ccd_id"])} or {
            3: [(START, START + seconds)]}
    kept = [row for row in _COLUMNS if row[0] not in drop and row[0] in columns]
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, form, unit, array=columns[name]) for name, form, unit, _, _ in kept])
    about = table.header
    about.update(EXTNAME="EVENTS", HDUNAME="EVENTS", TELESCOP="CHANDRA", INSTRUME="ACIS", DETNAM="ACIS-0123",
                 GRATING="NONE", OBJECT="Simulated", OBS_ID=obsid, DATAMODE="FAINT", READMODE="TIMED",
                 MJDREF=50814.0, TIMEZERO=0.0, TIMESYS="TT", TIMEUNIT="s", TIMEDEL=3.24104, TSTART=START,
                 TSTOP=START + seconds, RA_NOM=ra, DEC_NOM=dec, ROLL_NOM=0.0, RADESYS="ICRS", EQUINOX=2000.0)
    about["DATE-OBS"] = "2000-08-14T13:32:51"
    for n, (name, _, _, low, high) in enumerate(kept, start=1):
        if low is not None:
            about[f"TLMIN{n}"], about[f"TLMAX{n}"] = low, high
        if name in ("x", "y"):
            first = name == "x"
            about[f"TCTYP{n}"] = "RA---TAN" if first else "DEC--TAN"
            about[f"TCRVL{n}"] = ra if first else dec
            about[f"TCRPX{n}"], about[f"TCDLT{n}"] = TANGENT, -PIXEL_DEG if first else PIXEL_DEG
            about[f"TCUNI{n}"] = "deg"
    about.update(MTYPE1="sky", MFORM1="x,y", DSTYP1="ccd_id", DSFORM1="I", DSTYP2="time", DSVAL2="TABLE", DSFORM2="D",
                 DSUNIT2="s")
    seen = {}
    for number, (chip, times) in enumerate(good_times.items(), start=1):
        prefix = "" if number == 1 else str(number)
        about[f"{prefix}DSVAL1"], about[f"{prefix}DSREF2"] = f"{chip}:{chip}", f":GTI{chip}"
        good = float(sum(stop - start for start, stop in times))
        seen[chip] = (good, good * dtcor)
        about[f"ONTIME{chip}"], about[f"LIVTIME{chip}"], about[f"EXPOSUR{chip}"] = good, good * dtcor, good * dtcor
    if seen:
        good, live = next(iter(seen.values()))
        about.update(ONTIME=good, LIVETIME=live, EXPOSURE=live, DTCOR=dtcor)
    about.update(header or {})
    blocks = [fits.PrimaryHDU(), table]
    for chip, times in good_times.items():
        start, stop = np.array(times, float).reshape(-1, 2).T
        gti = fits.BinTableHDU.from_columns([fits.Column("START", "1D", "s", array=start),
                                             fits.Column("STOP", "1D", "s", array=stop)])
        gti.header.update(EXTNAME="GTI", EXTVER=chip, HDUNAME=f"GTI{chip}", CCD_ID=chip, MJDREF=50814.0, TIMESYS="TT")
        blocks.append(gti)
    fits.HDUList(blocks).writeto(path, overwrite=True)
    return path
