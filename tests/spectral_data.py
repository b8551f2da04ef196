"""Where the public data of tests of spectra are, and what XSPEC made of them."""

import gzip
from functools import cache
from pathlib import Path

import numpy as np
from astropy.io import fits

from golden_data import shared_folder

# ARF and RMF of real observations, by the program that made the RMF.
PAIRS = {"mkacisrmf": ("responses/12845.warf", "responses/12845.wrmf.gz"),
         "mkrmf": ("responses/obs1.arf", "responses/obs123.rmf.gz"),
         "old": ("responses/3c273.arf", "responses/3c273.rmf"),
         "CSC": ("responses/acisf04938_000N002_r0043_arf3.fits", "responses/acisf04938_000N002_r0043_rmf3.fits.gz")}


def shared(name):
    """The path of one of the shared data on spectra; skips the test where it is not there."""
    return shared_folder() / f"spectra/data/{name}"


@cache
def xspec_table(path: Path):
    """The edges of the bins, keV, and columns by name, of a table of XSPEC's answers."""
    table = fits.getdata(path, 1)
    edges = np.append(table["E_LO"], table["E_HI"][-1])
    return edges, {name: np.asarray(table[name], float) for name in table.names[2:]}


@cache
def matrix_by_rows(path):
    """The whole matrix as astropy has its rows, group by group."""
    with fits.open(path) as hdus:
        matrix = next(hdu for hdu in hdus if hdu.header.get("HDUCLAS2") == "RSP_MATRIX")
        rows, first = matrix.data, matrix.header["TLMIN4"]
        whole = np.zeros((len(rows), len(hdus["EBOUNDS"].data)))
        for n, row in enumerate(rows):
            place = 0
            starts, sizes = np.atleast_1d(row["F_CHAN"]), np.atleast_1d(row["N_CHAN"])
            elements = row["MATRIX"]
            for start, size in zip(starts[:row["N_GRP"]], sizes, strict=False):
                whole[n, start - first: start - first + size] += elements[place: place + size]
                place += size
    return whole


def unpacked(path, folder):
    """The path of a file that is not gzipped."""
    if path.suffix != ".gz":
        return path
    (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return folder / path.stem
