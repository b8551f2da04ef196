"""One function for each tool of CIAO, with all parameters by their full names and without prompts.

Names and choices are those of CIAO 4.18. Each function returns a `Command`; `Runner` runs it, and the pipeline writes
it into scripts. Tools overwrite existing files, since outputs go to folders of the run and are moved when they are
complete. A file is a path, or parts of a virtual name that are joined.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from chandra_bin.sources.options import DEFAULT_SCALES, DetectionOptions

from ._ardlib import bad_pixels_of
from ._chatter import flare_limits, left_out
from ._command import Command, File, Name, Temporary, Value

# All tools, first programs, then contributed scripts.
NAMES = ("dmcopy", "dmextract", "wavdetect", "asphist", "mkacisrmf", "mkarf", "sky2tdet", "mkwarf", "mkrmf",
         "blanksky", "blanksky_image", "chandra_repro", "deflare", "download_chandra_obsid", "fluximage", "merge_obs",
         "specextract")
# Seed of the random positions of blank-sky events in pixels, so that runs are reproducible. That of fluximage and
# merge_obs affects the background of the HRC only.
_SEED = 1
# Energies (keV) and channels of responses, as in specextract.
_ENERGIES, _CHANNELS = "0.3:11.0:0.01", "1:1024:1"
_FIRST_OF_S = 4


def download_chandra_obsid(obsids: Sequence[str]) -> Command:
    """Fetch observations from the archive, each into a folder of its ObsID in the current folder."""
    return Command("download_chandra_obsid", {"": ",".join(obsids)},
                   purpose="fetch observations from the archive")


def chandra_repro(indir: Path, outdir: Path, *, check_vf_pha: bool, outputs: Sequence[Path]) -> Command:
    """Reprocess an observation. The tool unpacks files in ``indir``: give a copy."""
    return Command("chandra_repro", {
        "indir": File(indir), "outdir": File(outdir, is_output=True), "check_vf_pha": check_vf_pha,
        # Otherwise the bad pixels of this observation would be set in a file that all runs of a user share.
        "set_ardlib": False, "cleanup": True, "clobber": True, "verbose": 1, "mode": "h"},
        tuple(outputs), "present calibration: gain, CTI, bad pixels, grades, good times")


def fluximage(infile: Name, outroot: Path, *, bands: str, binsize: float, psfecf: float, expmapthresh: str, nproc: int,
              outputs: Sequence[Path]) -> Command:
    """Make image, exposure map, flux and PSF map of an observation: ``{outroot}_{label of the band}_thresh.img`` ..."""
    return Command("fluximage", {
        "infile": _name(infile), "outroot": File(outroot, is_output=True), "bands": bands, "binsize": binsize,
        "expmapthresh": _threshold(expmapthresh), "psfecf": psfecf, **_parallel(nproc), "cleanup": True,
        "clobber": True, "verbose": 1, "mode": "h"}, tuple(outputs), "counts image, exposure map, flux and PSF map")


def wavdetect(infile: Name, *, psffile: Path, expfile: Path, outfile: Path, scellfile: Path, imagefile: Path,
              defnbkgfile: Path, regfile: Path, options: DetectionOptions) -> Command:
    """Detect sources by wavelets. Files with fixed names go into a folder of this run."""
    products = {"outfile": outfile, "scellfile": scellfile, "imagefile": imagefile, "defnbkgfile": defnbkgfile}
    return Command("wavdetect", {
        "infile": _name(infile), "psffile": File(psffile), "expfile": File(expfile),
        **{name: File(path, is_output=True) for name, path in products.items()},
        # Without sources this file may be missing.
        "regfile": File(regfile, is_output=True),
        "scales": " ".join(f"{scale:.15g}" for scale in options.scales or DEFAULT_SCALES), "maxiter": options.maxiter,
        "sigthresh": float(options.sigthresh), "ellsigma": float(options.ellsigma),
        "interdir": Temporary(), "clobber": True, "verbose": 1, "mode": "h"},
        tuple(products.values()), "sources")


def dmcopy(infile: Name, outfile: Path, *, all_blocks: bool = False, purpose: str) -> Command:
    """Copy a virtual file. ``all_blocks``: with GTIs, which events need and images do not have."""
    return Command("dmcopy", {
        "infile": _name(infile), "outfile": File(outfile, is_output=True), "option": "all" if all_blocks else "",
        "clobber": True, "verbose": 1, "mode": "h"}, (outfile,), purpose)


def dmextract_light_curve(infile: Name, outfile: Path) -> Command:
    """Make the light curve of events with ``[bin time=::WIDTH]``."""
    return Command("dmextract", {
        "infile": _name(infile), "outfile": File(outfile, is_output=True), "opt": "ltc1", "clobber": True,
        "verbose": 1, "mode": "h"}, (outfile,), "light curve")


def deflare(infile: Path, outfile: Path, *, method: Literal["clean", "sigma"]) -> Command:
    """Find GTIs without flares. The tool has no clobber, and with a plot it would wait for a key."""
    return Command("deflare", {
        "infile": File(infile), "outfile": File(outfile, is_output=True), "method": method, "plot": False,
        "verbose": 1, "mode": "h"}, (outfile,), "good times without flares", flare_limits)


def blanksky(evtfile: Name, outfile: Path) -> Command:
    """Make blank-sky events on the sky of an observation, with BKGSCALn from the counts at 9 - 12 keV."""
    return Command("blanksky", {
        "evtfile": _name(evtfile), "outfile": File(outfile, is_output=True), "weight_method": "particle",
        "tmpdir": Temporary(), "random": _SEED, "clobber": True, "verbose": 1, "mode": "h"}, (outfile,),
        "blank sky, scaled by the counts at 9 - 12 keV (BKGSCALn)")


def blanksky_image(bkgfile: Path, outroot: Path, imgfile: Path) -> Command:
    """Make the image of the blank sky, ``{outroot}_particle_bgnd.img``, and the image with it subtracted."""
    outputs = tuple(outroot.with_name(f"{outroot.name}_particle_{kind}.img") for kind in ("bgnd", "bkgsub"))
    return Command("blanksky_image", {
        "bkgfile": File(bkgfile), "outroot": File(outroot, is_output=True), "imgfile": File(imgfile),
        "tmpdir": Temporary(), "clobber": True, "verbose": 1, "mode": "h"}, outputs, "image of the blank sky")


def merge_obs(infiles: Path, outdir: Path, *, bands: str, binsize: float, psfecf: float, expmapthresh: str,
              refcoord: str | None, nproc: int, outputs: Sequence[Path]) -> Command:
    """Merge the observations of a list on one tangent plane: events, images, exposure, flux and PSF map."""
    return Command("merge_obs", {
        "infiles": ("@", File(infiles)), "outroot": File(outdir, is_output=True, ending="/"), "bands": bands,
        "binsize": binsize, "refcoord": refcoord or "", "expmapthresh": _threshold(expmapthresh), "psfecf": psfecf,
        # The PSF of a merged source is the mean over observations, weighted with exposure time.
        "psfmerge": "exptime", **_parallel(nproc), "cleanup": True, "clobber": True,
        "verbose": 1, "mode": "h"}, tuple(outputs), "all observations on one tangent plane", left_out)


def specextract(infile: Value, outroot: Value, *, nproc: int, outputs: Sequence[Path]) -> Command:
    """Extract spectra and counts-weighted responses of regions of an observation: one region, or ``@lists``.

    The aspect histogram and the RMF are those of the brightest position of a region (``resp_pos=MAX``): the default,
    the mean of the vertices, may lie outside a bent region, or on a chip that the filters exclude.

    The spectra have no background, since specextract writes the BKGSCALn of one chip as AREASCAL of the background.
    """
    return Command("specextract", {
        "infile": infile, "outroot": outroot,
        "bkgfile": "", "bkgresp": False, "weight": True, "resp_pos": "MAX", "correctpsf": False,
        "grouptype": "NUM_CTS", "binspec": "1", **_parallel(nproc), "clobber": True, "verbose": 1, "mode": "h"},
        tuple(outputs), "spectra and responses of bins")


def asphist(aspect: Sequence[Path], events: Path, chip: int, outfile: Path) -> Command:
    """Make the aspect histogram of a chip: the time that the telescope spent at each pointing in the chip's GTIs."""
    return Command("asphist", {
        "infile": tuple(part for path in aspect for part in (",", File(path)))[1:],
        "outfile": File(outfile, is_output=True), "evtfile": (File(events), f"[ccd_id={chip}]"), "dtffile": "",
        "clobber": True, "verbose": 1, "mode": "h"}, (outfile,), "aspect histogram of a chip")


def mkacisrmf(events: Path, chip: int, place: tuple[int, int], outfile: Path) -> Command:
    """Make the RMF of a position (chipx, chipy) on a chip, for events with CTI correction."""
    return Command("mkacisrmf", {
        # The query names the chip; otherwise the tool uses CCD_ID of the header.
        "infile": f"CALDB(CCD_ID={chip})", "outfile": File(outfile, is_output=True), "wmap": "none",
        "energy": _ENERGIES, "channel": _CHANNELS, "chantype": "PI", "ccd_id": chip, "chipx": place[0],
        "chipy": place[1], "gain": "CALDB", "obsfile": File(events), "clobber": True, "verbose": 1, "mode": "h"},
        (outfile,), "RMF of a place on a chip")


def mkarf(histogram: Path, events: Path, chip: int, sky: tuple[float, float], rmf: Path, outfile: Path, *,
          grating: str, mask: Path | None, bad_pixels: Path | None) -> Command:
    """Make the ARF of a position in sky pixels, on the energies of an RMF: mkacisrmf may change the given energies."""
    return Command("mkarf", {
        "asphistfile": File(histogram), "outfile": File(outfile, is_output=True), "sourcepixelx": sky[0],
        "sourcepixely": sky[1], "engrid": ("grid(", File(rmf), "[cols ENERG_LO,ENERG_HI])"), "obsfile": File(events),
        # Unused since CIAO 4.6.
        "pbkfile": "NONE",
        "detsubsys": f"ACIS-I{chip}" if chip < _FIRST_OF_S else f"ACIS-S{chip - _FIRST_OF_S}", "grating": grating,
        "maskfile": "NONE" if mask is None else File(mask), "verbose": 1, "clobber": True, "mode": "h"},
        (outfile,), "ARF of a place on the sky", ardlib=_bad_pixels(chip, bad_pixels))


def sky2tdet(events: Path, histogram: Path, chip: int, sky: tuple[float, float], radius_px: float,
             band_ev: tuple[float, float], outfile: Path) -> Command:
    """Make the weight map of a circle in sky pixels: the distribution of its events of a band on the chip."""
    x, y = (f"{value:.4f}" for value in sky)
    low, high = (f"{energy:g}" for energy in band_ev)
    return Command("sky2tdet", {
        "infile": (File(events), f"[ccd_id={chip}][energy={low}:{high}][sky=circle({x},{y},{radius_px:g})][bin sky=1]"),
        "asphistfile": File(histogram), "outfile": (File(outfile, is_output=True), "[wmap]"), "bin": 1,
        "clobber": True, "verbose": 1, "mode": "h"}, (outfile,), "map of weights of a circle on the sky")


def mkwarf(weights: Path, chip: int, outfile: Path, weightfile: Path, *, mask: Path | None,
           bad_pixels: Path | None) -> Command:
    """Make the ARF of a weight map, and the weights for `mkrmf`."""
    return Command("mkwarf", {
        "infile": (File(weights), "[wmap]"), "outfile": File(outfile, is_output=True),
        "weightfile": File(weightfile, is_output=True), "spectrumfile": "", "egridspec": _ENERGIES, "pbkfile": "",
        "mskfile": "" if mask is None else File(mask), "clobber": True, "verbose": 1, "mode": "h"},
        (outfile, weightfile), "ARF of the map of weights", ardlib=_bad_pixels(chip, bad_pixels))


def mkrmf(weightfile: Path, outfile: Path) -> Command:
    """Make the RMF for the weights of `mkwarf`, for events without CTI correction."""
    return Command("mkrmf", {
        "infile": "CALDB", "outfile": File(outfile, is_output=True), "axis1": f"energy={_ENERGIES}",
        "axis2": f"pi={_CHANNELS}", "logfile": "", "weights": File(weightfile), "clobber": True, "verbose": 1,
        "mode": "h"}, (outfile,), "RMF of the same weights")


def _bad_pixels(chip: int, file: Path | None) -> dict[str, Value]:
    """Return the ``ardlib.par`` entry of a bad-pixel file; without a file, tools use the calibration database."""
    return {} if file is None else {bad_pixels_of(chip): (File(file), f"[BADPIX{chip}]")}


def _threshold(text: str) -> str:
    """Return a threshold, with 0 as ``0.0``: for ``0`` and ``0%`` scripts omit ``_thresh`` in names of images."""
    number, percent, _ = text.partition("%")
    return text if float(number) else f"0.0{percent}"


def _name(name: Name) -> Value:
    """Return a file or virtual name as a value."""
    return File(name) if isinstance(name, Path) else name


def _parallel(nproc: int) -> dict[str, Value]:
    """Return the parameters for a number of processes; by default a tool uses all cores."""
    return {"parallel": nproc > 1, "nproc": nproc, "tmpdir": Temporary()}
