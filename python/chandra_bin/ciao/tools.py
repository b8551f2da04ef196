"""One function for each tool of CIAO that is used: typed, with all parameters by their full names, and never a prompt.

Names and choices are those of CIAO 4.18. Each gives the `Command`; `Runner` runs it, and the pipeline writes it into
scripts. Tools are told to replace what is there: their outputs go to folders of the run, and reach their places when
they are whole. A file is a path, or parts of a virtual name that are joined.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from chandra_bin.sources.options import DEFAULT_SCALES, DetectionOptions

from ._chatter import flare_limits, left_out
from ._command import Command, File, Name, Temporary, Value

# All that are called here. Programs first, then the contributed scripts.
NAMES = ("dmcopy", "dmextract", "wavdetect", "blanksky", "blanksky_image", "chandra_repro", "deflare",
         "download_chandra_obsid", "fluximage", "merge_obs", "specextract")
# The seed of the random places of blank-sky events in pixels: else each run would make other events of the same. That
# of fluximage and merge_obs has an effect on the HRC's background alone.
_SEED = 1


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


def _threshold(text: str) -> str:
    """A threshold of 0 as ``0.0``: given ``0`` or ``0%``, scripts leave ``_thresh`` out of the names of images."""
    number, percent, _ = text.partition("%")
    return text if float(number) else f"0.0{percent}"


def _name(name: Name) -> Value:
    return File(name) if isinstance(name, Path) else name


def _parallel(nproc: int) -> dict[str, Value]:
    """As many processes as there are for it; by itself a tool takes all cores."""
    return {"parallel": nproc > 1, "nproc": nproc, "tmpdir": Temporary()}
