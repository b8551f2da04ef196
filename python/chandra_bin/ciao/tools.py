"""One function for each tool of CIAO that is used: typed, with all parameters by their full names, and never a prompt.

Names and choices are those of CIAO 4.18. Each gives the `Command`; `Runner` runs it, and the pipeline writes it into
scripts. Tools are told to replace what is there: their outputs go to folders of the run, and reach their places when
they are whole. A file is a path, or parts of a virtual name that are joined.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from chandra_bin.sources.options import DEFAULT_SCALES, DetectionOptions

from ._ardlib import bad_pixels_of
from ._chatter import flare_limits, left_out
from ._command import Command, File, Name, Temporary, Value

# All that are called here. Programs first, then the contributed scripts.
NAMES = ("dmcopy", "dmextract", "wavdetect", "asphist", "mkacisrmf", "mkarf", "sky2tdet", "mkwarf", "mkrmf",
         "blanksky", "blanksky_image", "chandra_repro", "deflare", "download_chandra_obsid", "fluximage", "merge_obs",
         "specextract")
# The seed of the random places of blank-sky events in pixels: else each run would make other events of the same. That
# of fluximage and merge_obs has an effect on the HRC's background alone.
_SEED = 1
# The energies (keV) and channels of responses, as specextract has them.
_ENERGIES, _CHANNELS = "0.3:11.0:0.01", "1:1024:1"
_FIRST_OF_S = 4


def download_chandra_obsid(obsids: Sequence[str]) -> Command:
    """Fetches observations from the archive, each into a folder of its ObsID below the current one."""
    return Command("download_chandra_obsid", {"": ",".join(obsids)},
                   purpose="fetch observations from the archive")


def chandra_repro(indir: Path, outdir: Path, *, check_vf_pha: bool, outputs: Sequence[Path]) -> Command:
    """Calibrates an observation anew. It unpacks files in ``indir``: give it a copy."""
    return Command("chandra_repro", {
        "indir": File(indir), "outdir": File(outdir, is_output=True), "check_vf_pha": check_vf_pha,
        # Else the bad pixels of this observation go into a file that all runs of a user share.
        "set_ardlib": False, "cleanup": True, "clobber": True, "verbose": 1, "mode": "h"},
        tuple(outputs), "today's calibration: gain, CTI, bad pixels, grades, good times")


def fluximage(infile: Name, outroot: Path, *, bands: str, binsize: float, psfecf: float, expmapthresh: str, nproc: int,
              outputs: Sequence[Path]) -> Command:
    """Image, exposure map, flux and PSF map of one observation: ``{outroot}_{label of the band}_thresh.img`` ..."""
    return Command("fluximage", {
        "infile": _name(infile), "outroot": File(outroot, is_output=True), "bands": bands, "binsize": binsize,
        "expmapthresh": _threshold(expmapthresh), "psfecf": psfecf, **_parallel(nproc), "cleanup": True,
        "clobber": True, "verbose": 1, "mode": "h"}, tuple(outputs), "image of counts, exposure map, flux and PSF map")


def wavdetect(infile: Name, *, psffile: Path, expfile: Path, outfile: Path, scellfile: Path, imagefile: Path,
              defnbkgfile: Path, regfile: Path, options: DetectionOptions) -> Command:
    """Detects sources by wavelets. Its files of fixed names go into a folder of this run alone."""
    products = {"outfile": outfile, "scellfile": scellfile, "imagefile": imagefile, "defnbkgfile": defnbkgfile}
    return Command("wavdetect", {
        "infile": _name(infile), "psffile": File(psffile), "expfile": File(expfile),
        **{name: File(path, is_output=True) for name, path in products.items()},
        # Without a source it may not be there.
        "regfile": File(regfile, is_output=True),
        "scales": " ".join(f"{scale:.15g}" for scale in options.scales or DEFAULT_SCALES), "maxiter": options.maxiter,
        "sigthresh": float(options.sigthresh), "ellsigma": float(options.ellsigma),
        "interdir": Temporary(), "clobber": True, "verbose": 1, "mode": "h"},
        tuple(products.values()), "sources")


def dmcopy(infile: Name, outfile: Path, *, all_blocks: bool = False, purpose: str) -> Command:
    """Copies what a virtual name says. ``all_blocks``: good times too, which events need and images have not."""
    return Command("dmcopy", {
        "infile": _name(infile), "outfile": File(outfile, is_output=True), "option": "all" if all_blocks else "",
        "clobber": True, "verbose": 1, "mode": "h"}, (outfile,), purpose)


def dmextract_light_curve(infile: Name, outfile: Path) -> Command:
    """The light curve of events with ``[bin time=::WIDTH]``."""
    return Command("dmextract", {
        "infile": _name(infile), "outfile": File(outfile, is_output=True), "opt": "ltc1", "clobber": True,
        "verbose": 1, "mode": "h"}, (outfile,), "light curve")


def deflare(infile: Path, outfile: Path, *, method: Literal["clean", "sigma"]) -> Command:
    """Good times without flares. It has no clobber, and would wait for a key with a plot."""
    return Command("deflare", {
        "infile": File(infile), "outfile": File(outfile, is_output=True), "method": method, "plot": False,
        "verbose": 1, "mode": "h"}, (outfile,), "good times without flares", flare_limits)


def blanksky(evtfile: Name, outfile: Path) -> Command:
    """Blank-sky events as the observation would have seen them, with BKGSCALn from the counts of 9 - 12 keV."""
    return Command("blanksky", {
        "evtfile": _name(evtfile), "outfile": File(outfile, is_output=True), "weight_method": "particle",
        "tmpdir": Temporary(), "random": _SEED, "clobber": True, "verbose": 1, "mode": "h"}, (outfile,),
        "blank sky, scaled by the counts of 9 - 12 keV (BKGSCALn)")


def blanksky_image(bkgfile: Path, outroot: Path, imgfile: Path) -> Command:
    """The blank sky on the pixels of an image: ``{outroot}_particle_bgnd.img``, and the image without it."""
    outputs = tuple(outroot.with_name(f"{outroot.name}_particle_{kind}.img") for kind in ("bgnd", "bkgsub"))
    return Command("blanksky_image", {
        "bkgfile": File(bkgfile), "outroot": File(outroot, is_output=True), "imgfile": File(imgfile),
        "tmpdir": Temporary(), "clobber": True, "verbose": 1, "mode": "h"}, outputs, "image of the blank sky")


def merge_obs(infiles: Path, outdir: Path, *, bands: str, binsize: float, psfecf: float, expmapthresh: str,
              refcoord: str | None, nproc: int, outputs: Sequence[Path]) -> Command:
    """All observations of a list on one tangent plane: events, images, exposure, flux and PSF map."""
    return Command("merge_obs", {
        "infiles": ("@", File(infiles)), "outroot": File(outdir, is_output=True, ending="/"), "bands": bands,
        "binsize": binsize, "refcoord": refcoord or "", "expmapthresh": _threshold(expmapthresh), "psfecf": psfecf,
        # Sources are seen with the mean of the observations' PSFs, each for the time that it had.
        "psfmerge": "exptime", **_parallel(nproc), "cleanup": True, "clobber": True,
        "verbose": 1, "mode": "h"}, tuple(outputs), "all observations on one tangent plane", left_out)


def specextract(infile: Value, outroot: Value, *, nproc: int, outputs: Sequence[Path]) -> Command:
    """Spectra and responses, weighted by the counts, of extended regions of one observation: of one, or ``@lists``.

    The aspect histogram and the RMF are those of the brightest place of a region (``resp_pos=MAX``): the mean of the
    vertices, which is the default, may lie outside a bent region, or on a chip that the filters exclude.

    Without a background: specextract writes the BKGSCALn of one chip as the AREASCAL of the whole background.
    """
    return Command("specextract", {
        "infile": infile, "outroot": outroot,
        "bkgfile": "", "bkgresp": False, "weight": True, "resp_pos": "MAX", "correctpsf": False,
        "grouptype": "NUM_CTS", "binspec": "1", **_parallel(nproc), "clobber": True, "verbose": 1, "mode": "h"},
        tuple(outputs), "spectra and responses of bins")


def asphist(aspect: Sequence[Path], events: Path, chip: int, outfile: Path) -> Command:
    """Make the aspect histogram of a chip: how long the telescope pointed where, in the chip's good times."""
    return Command("asphist", {
        "infile": tuple(part for path in aspect for part in (",", File(path)))[1:],
        "outfile": File(outfile, is_output=True), "evtfile": (File(events), f"[ccd_id={chip}]"), "dtffile": "",
        "clobber": True, "verbose": 1, "mode": "h"}, (outfile,), "aspect histogram of a chip")


def mkacisrmf(events: Path, chip: int, place: tuple[int, int], outfile: Path) -> Command:
    """Make the RMF of a place (chipx, chipy) of a chip, for events that are corrected for CTI."""
    return Command("mkacisrmf", {
        # The chip in the query: otherwise the tool takes CCD_ID of the header.
        "infile": f"CALDB(CCD_ID={chip})", "outfile": File(outfile, is_output=True), "wmap": "none",
        "energy": _ENERGIES, "channel": _CHANNELS, "chantype": "PI", "ccd_id": chip, "chipx": place[0],
        "chipy": place[1], "gain": "CALDB", "obsfile": File(events), "clobber": True, "verbose": 1, "mode": "h"},
        (outfile,), "RMF of a place on a chip")


def mkarf(histogram: Path, events: Path, chip: int, sky: tuple[float, float], rmf: Path, outfile: Path, *,
          grating: str, mask: Path | None, bad_pixels: Path | None) -> Command:
    """Make the ARF of a place in sky pixels, on the energies of an RMF: mkacisrmf may change those that it is given."""
    return Command("mkarf", {
        "asphistfile": File(histogram), "outfile": File(outfile, is_output=True), "sourcepixelx": sky[0],
        "sourcepixely": sky[1], "engrid": ("grid(", File(rmf), "[cols ENERG_LO,ENERG_HI])"), "obsfile": File(events),
        # Of no use since CIAO 4.6.
        "pbkfile": "NONE",
        "detsubsys": f"ACIS-I{chip}" if chip < _FIRST_OF_S else f"ACIS-S{chip - _FIRST_OF_S}", "grating": grating,
        "maskfile": "NONE" if mask is None else File(mask), "verbose": 1, "clobber": True, "mode": "h"},
        (outfile,), "ARF of a place on the sky", ardlib=_bad_pixels(chip, bad_pixels))


def sky2tdet(events: Path, histogram: Path, chip: int, sky: tuple[float, float], radius_px: float,
             band_ev: tuple[float, float], outfile: Path) -> Command:
    """Make the map of weights of a circle in sky pixels: where on the chip its events of a band would fall."""
    x, y = (f"{value:.4f}" for value in sky)
    low, high = (f"{energy:g}" for energy in band_ev)
    return Command("sky2tdet", {
        "infile": (File(events), f"[ccd_id={chip}][energy={low}:{high}][sky=circle({x},{y},{radius_px:g})][bin sky=1]"),
        "asphistfile": File(histogram), "outfile": (File(outfile, is_output=True), "[wmap]"), "bin": 1,
        "clobber": True, "verbose": 1, "mode": "h"}, (outfile,), "map of weights of a circle on the sky")


def mkwarf(weights: Path, chip: int, outfile: Path, weightfile: Path, *, mask: Path | None,
           bad_pixels: Path | None) -> Command:
    """Make the ARF of a map of weights, and the weights for `mkrmf`."""
    return Command("mkwarf", {
        "infile": (File(weights), "[wmap]"), "outfile": File(outfile, is_output=True),
        "weightfile": File(weightfile, is_output=True), "spectrumfile": "", "egridspec": _ENERGIES, "pbkfile": "",
        "mskfile": "" if mask is None else File(mask), "clobber": True, "verbose": 1, "mode": "h"},
        (outfile, weightfile), "ARF of the map of weights", ardlib=_bad_pixels(chip, bad_pixels))


def mkrmf(weightfile: Path, outfile: Path) -> Command:
    """Make the RMF of the weights of `mkwarf`, for events that are not corrected for CTI."""
    return Command("mkrmf", {
        "infile": "CALDB", "outfile": File(outfile, is_output=True), "axis1": f"energy={_ENERGIES}",
        "axis2": f"pi={_CHANNELS}", "logfile": "", "weights": File(weightfile), "clobber": True, "verbose": 1,
        "mode": "h"}, (outfile,), "RMF of the same weights")


def _bad_pixels(chip: int, file: Path | None) -> dict[str, Value]:
    """Return where mkarf and mkwarf find the bad pixels of a chip; without a file, those of the calibration database.
    """
    return {} if file is None else {bad_pixels_of(chip): (File(file), f"[BADPIX{chip}]")}


def _threshold(text: str) -> str:
    """A threshold of 0 as ``0.0``: given ``0`` or ``0%``, scripts leave ``_thresh`` out of the names of images."""
    number, percent, _ = text.partition("%")
    return text if float(number) else f"0.0{percent}"


def _name(name: Name) -> Value:
    return File(name) if isinstance(name, Path) else name


def _parallel(nproc: int) -> dict[str, Value]:
    """As many processes as there are for it; by itself a tool takes all cores."""
    return {"parallel": nproc > 1, "nproc": nproc, "tmpdir": Temporary()}
