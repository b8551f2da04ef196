"""The commands that are suggested at the end of a command."""

from collections.abc import Mapping, Sequence

# By the command that ends: the purpose of each command that may follow, and its words. Words in braces are products of
# the command that ends; words in capitals are for the user to replace.
NEXT: Mapping[str, Sequence[tuple[str, Sequence[str]]]] = {
    "copy": (("bin the image", ("bin", "{image}", "-o", "bins", "--sn", "50")),),
    "fluximage": (("bin the image", ("bin", "{image}", "--expmap", "{expmap}", "-o", "bins", "--sn", "50")),),
    "merge": (("find the sources", ("detect", "{image}", "sources.fits")),
              ("bin the image", ("bin", "{image}", "-o", "bins", "--sn", "50"))),
    "lightcurve": (("find the GTIs without flares", ("deflare", "{curve}", "clean.gti")),),
    "deflare": (("apply the GTIs", ("copy", "EVENTS[@{gti}]", "clean_evt.fits")),),
    "detect": (("propose the region of the cluster", (
        "propose", "cluster", "{image}", "--detections", "{table}", "-o", "cluster.reg")),),
    "blanksky": (("make the background of an image", (
        "background", "IMAGE", "--blanksky", "{events}", "-o", "OUTROOT")),),
    "background": (("bin with the background", (
        "bin", "{image}", "--background", "{background}", "--background-scale", "{scale}", "-o", "bins", "--sn",
        "50")),),
    "bin": (("extract the spectra of the bins", ("spectra", "EVENTS", "{binmap}")),),
    "batch": (("extract the spectra of the bins", ("spectra", "EVENTS", "{folder}/NAME/contbin_binmap.fits")),),
    "spectra": (("find the responses", ("responses", "EVENTS", "{binmap}", "--tiles", "TILES")),
                ("make hardness maps without responses", ("maps", "{binmap}", "{spectra}"))),
    "tiles": (("find the responses of the bins", ("responses", "EVENTS", "{binmap}", "--tiles", "{table}")),),
    "responses": (("fit the spectra", ("fit", "SPECTRA", "--responses", "{responses}", "--redshift", "Z")),),
    "fit": (("make the maps", ("maps", "BINMAP", "{fit}")),),
    "regions": (("extract the spectra of the bins", ("spectra", "EVENTS", "{binmap}")),),
    "convert": (("make a mask", ("mask", "IMAGE", "--exclude", "{region}", "-o", "mask.fits")),),
    "mask": (("bin with the mask", ("bin", "{image}", "--mask", "{mask}", "-o", "bins", "--sn", "50")),),
    "scale-flux": (("bin the scaled flux", (
        "bin", "{flux}", "--counts-image", "{counts}", "-o", "bins", "--sn", "50")),),
    "propose cluster": (("propose the point sources", (
        "propose", "sources", "{detections}", "{image}", "--cluster", "{region}", "-o", "sources.reg")),),
    "propose sources": (("remove the sources", ("copy", "EVENTS[exclude sky=region({region})]", "clean_evt.fits")),),
    "propose area": (("crop an image", ("copy", "IMAGE[sky=region({region})]", "cropped.img")),),
    "simulate": (("begin a pipeline", ("init", "{folder}", "-o", "work")),),
    "init": (("run the pipeline", ("run", "{work}")),),
    "run": (("run the other tasks", ("run", "{work}")),),
    "status": (("run the pending tasks", ("run", "{work}")),),
}
