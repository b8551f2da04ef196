"""A flat sky that ACIS sees, photon by photon, for tests of exposure maps: small, and without the package's maps."""

import numpy as np

from chandra_bin.acis import geometry as acis
from chandra_bin.simulate import _telescope as telescope
from event_files import START, TANGENT, write_events

SIM_Z = acis.AIM_SIM_Z_MM["I"]
ROLL = 40.0
RA, DEC = 228.475, -59.14


def dither_at(time):
    """Sky pixels (x, y) from the mean pointing: two sines, of periods that no map assumes, whole ones in 20 ks."""
    t = np.asarray(time) - START
    return 16.0 * np.sin(2 * np.pi * t * 21 / 20_000), 14.0 * np.sin(2 * np.pi * t * 29 / 20_000)


def flat_sky(count=400_000, *, chips=(2, 3), seconds=20_000.0, seed=1, bad=(), rows=(2, 1023), slope=0.22,
             dither=dither_at, roll=ROLL):
    """Columns of photons of a sky of one brightness, thinned one by one.

    ``bad``: (chip, first chipx, last chipx, first chipy, last chipy) that give no events; the seconds are good time.
    """
    draw = np.random.default_rng(seed)
    time = np.sort(draw.uniform(START, START + seconds, count))
    chip = draw.choice(chips, count)
    u, v = draw.uniform(0.5, 1024.5, (2, count))
    chipx, chipy = np.rint(u).astype(np.int16), np.rint(v).astype(np.int16)
    kept = (chipx > 1) & (chipx < 1024) & (chipy >= rows[0]) & (chipy <= rows[1])
    kept &= ~np.isin(chipx, (256, 257, 512, 513, 768, 769))
    for which, x0, x1, y0, y1 in bad:
        kept &= ~((chip == which) & (chipx >= x0) & (chipx <= x1) & (chipy >= y0) & (chipy <= y1))
    x, y, theta = (np.empty(count) for _ in range(3))
    moved = dither(time)
    # From the telescope's body to north up: by the simulator's geometry, not that of the maps under test.
    upright = telescope.attitude(RA, DEC, 0) @ telescope.attitude(RA, DEC, roll).T
    for each in chips:
        on = chip == each
        body = telescope.behind(telescope.chip_to_focus(each, u[on], v[on], SIM_Z))
        theta[on] = telescope.off_axis_arcmin(body)
        x[on], y[on] = telescope.pixels(upright @ body)
    x, y = x + moved[0], y + moved[1]
    kept &= draw.random(count) < 1 - slope * (theta / 10) ** 2
    return {"time": time[kept], "ccd_id": chip[kept].astype(np.int16), "chipx": chipx[kept], "chipy": chipy[kept],
            "x": x[kept].astype(np.float32), "y": y[kept].astype(np.float32),
            "energy": draw.uniform(500, 7000, kept.sum()).astype(np.float32)}


def write_flat_sky(path, columns, *, seconds=20_000.0, header=None, roll=ROLL, **options):
    """Writes them as an event file that says where the telescope pointed: the tangent point."""
    pointing = {"RA_PNT": RA, "DEC_PNT": DEC, "ROLL_PNT": roll, "ROLL_NOM": roll, "SIM_Z": SIM_Z}
    return write_events(path, columns, seconds=seconds, header={**pointing, **(header or {})}, **options)


def write_asol(path, time, offset_x, offset_y, *, ra=RA, dec=DEC, obsid="754"):
    """An aspect solution of these offsets from the tangent point, in sky pixels."""
    from astropy.io import fits
    from astropy.wcs import WCS

    sky = WCS(naxis=2)
    sky.wcs.ctype, sky.wcs.crval, sky.wcs.crpix = ("RA---TAN", "DEC--TAN"), (ra, dec), (TANGENT, TANGENT)
    sky.wcs.cdelt = (-0.492 / 3600, 0.492 / 3600)
    right, up = sky.wcs_pix2world(TANGENT + np.asarray(offset_x), TANGENT + np.asarray(offset_y), 1)
    table = fits.BinTableHDU.from_columns([
        fits.Column(name, "1D", array=values) for name, values in
        (("time", time), ("ra", right), ("dec", up), ("roll", np.full(len(right), ROLL)))])
    table.header.update(EXTNAME="ASPSOL", OBS_ID=obsid)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


def write_bad_pixels(path, bad, *, start=0.0, stop=0.0, obsid="754"):
    """A file of bad pixels, (chip, first and last chipx, first and last chipy) each."""
    from astropy.io import fits

    hdus = [fits.PrimaryHDU()]
    for chip in sorted({each[0] for each in bad}):
        mine = np.array([each[1:] for each in bad if each[0] == chip])
        table = fits.BinTableHDU.from_columns([
            fits.Column("SHAPE", "16A", array=["rectangle"] * len(mine)),
            fits.Column("CHIPX", "2I", array=mine[:, :2]), fits.Column("CHIPY", "2I", array=mine[:, 2:]),
            fits.Column("TIME", "1D", array=np.full(len(mine), start)),
            fits.Column("TIME_STOP", "1D", array=np.full(len(mine), stop))])
        table.header.update(EXTNAME="BADPIX", EXTVER=chip, CCD_ID=chip, OBS_ID=obsid)
        hdus.append(table)
    fits.HDUList(hdus).writeto(path)
    return path
