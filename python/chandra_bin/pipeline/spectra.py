"""Steps 9 and 10, by this program under both engines: spectra and responses of the bins, fits, and maps."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chandra_bin.acis.bands import parse_energies
from chandra_bin.errors import warn
from chandra_bin.fits.virtual import VirtualFile
from chandra_bin.spectral.fit import FitOptions
from chandra_bin.tasks.brightness import write_brightness
from chandra_bin.tasks.fit import fit_spectra_files
from chandra_bin.tasks.image_files import ImageFiles
from chandra_bin.tasks.maps import write_hardness_maps, write_maps
from chandra_bin.tasks.responses import write_responses
from chandra_bin.tasks.spectra import write_spectra
from chandra_bin.tasks.truth import compare_with_truth

from .archive import ObservationFiles, chips_used
from .fit_engines import fit_engine
from .job import Job
from .models import model_of


def flare_free_events(job: Job, archive: Sequence[ObservationFiles] | None = None) -> list[VirtualFile]:
    """Return the events, without flares and on the chips to use, of each observation, or of those of ``archive``."""
    names = []
    for files in job.archive if archive is None else archive:
        obs = job.layout.obs(files.obsid)
        term = chips_used(job.settings.ccd_ids, ObservationFiles(files.obsid, obs.events))
        names.append(VirtualFile.of(obs.clean_events).keep(term))
    return names


def _folder_of_spectra(job: Job) -> Path:
    """Return the folder of the tables of all observations."""
    return job.layout.bin_spectra(job.settings.obs_ids[0]).parent.parent


def _with_blank_sky(job: Job) -> list[ObservationFiles]:
    """Return the observations that have blank-sky events: these are fitted."""
    return [files for files in job.archive if job.layout.obs(files.obsid).background_events.is_file()]


def count_spectra(job: Job) -> None:
    """Do step 9: extract the spectra of all bins, one table per observation, with its blank sky if it has one."""
    layout = job.layout
    with_sky = _with_blank_sky(job)
    without = [files for files in job.archive if files not in with_sky]
    obsids = f"ObsID {', '.join(files.obsid for files in without)}: no blank-sky events (blank_sky)"
    if not with_sky:
        warn(f"{obsids}: the spectra have no background, so temperatures are not fitted, and the maps are of hardness "
             "of the cluster and its background; install CALDB's blank skies, and run with --redo 3")
    elif without:
        warn(f"{obsids}: fits leave its spectra out, and maps of hardness have its background in them; install CALDB's "
             "blank skies, and run with --redo 3")
    folder = job.out(_folder_of_spectra(job) / "table").parent
    made = []
    for archive in filter(None, (with_sky, without)):
        skies = [layout.obs(files.obsid).background_events for files in archive] if archive is with_sky else []
        made += job.call(write_spectra, flare_free_events(job, archive), layout.binmap, folder, background=skies,
                         each_bin=False, threads=job.threads)
    job.note(**{f"ObsID {each.obsid}": f"{each.bins} bins, {each.counts} counts" for each in made})


def find_responses(job: Job) -> None:
    """Do step 9: assign responses, of the user's table or of CIAO, to bins in the observations to fit.

    The brightness of the pixels is smoothed less than the contours of step 7, whose discs are as large as bins.
    """
    layout = job.layout
    events = flare_free_events(job, _with_blank_sky(job) or job.archive)
    background, ratio = job.final_background()
    job.call(write_brightness, layout.final_image, ImageFiles(
        mask=layout.mask, background=background, background_scale=ratio, expmap=layout.final_expmap),
        job.out(layout.brightness), threads=job.threads)
    made = job.call(write_responses, events, layout.binmap, layout.tiles or layout.made_tiles,
                    (job.out(layout.bin_responses), layout.bin_responses), brightness=job.made(layout.brightness),
                    threads=job.threads)
    job.note(**{f"ObsID {each.obsid}": f"{each.bins} bins on {each.tiles} tiles, {each.by_counts} weighed by counts"
                for each in made})


def fit(job: Job) -> None:
    """Do step 10: fit temperature, abundance and norm of each bin, unless no observation has a blank sky."""
    layout, settings = job.layout, job.settings
    if not _with_blank_sky(job):
        job.note(model="not fitted: the spectra have no background")
        return
    low, high = parse_energies(settings.fit_band)
    with fit_engine(settings.fit_engine, job.threads) as engine:
        made = job.call(fit_spectra_files, _folder_of_spectra(job), layout.bin_responses, job.out(layout.fit),
                        model=model_of(settings, layout.work),
                        options=FitOptions(nh_is=settings.nh_is, redshift_is=settings.redshift_is),
                        band_kev=(low / 1000, high / 1000), threads=job.threads, engine=engine)
    result = made.result
    reasons = Counter(result.reason.tolist()).most_common()
    job.note(model=result.model, bins=", ".join(f"{reason}: {count}" for reason, count in reasons),
             errors=result.error_text)


def make_maps(job: Job) -> None:
    """Do step 10: map the temperature and derived quantities, or the hardness where nothing was fitted."""
    layout = job.layout
    if not _with_blank_sky(job):
        _hardness_maps(job)
        return
    made = job.call(write_maps, layout.binmap, layout.fit, job.out(layout.maps / "kt.fits").parent)
    job.note(maps=", ".join(path.name for path in made))
    if layout.truth and all(path.is_file() for path in layout.truth):
        compared = job.call(compare_with_truth, layout.binmap, layout.fit, layout.truth[0].parent, made[0].parent)
        job.note(**{"kT and simulated kT": f"(fit - truth) / error has mean {compared.kt.mean:+.2f} and rms "
                                            f"{compared.kt.rms:.2f} over {compared.kt.bins} bins; "
                                            f"{compared.kt.within:.0%} of errors hold the truth"})


def make_hardness_maps(job: Job) -> None:
    """Do step 10 without effective areas: map the hardness."""
    warn("no effective areas (response_tiles): the maps show hardness, not temperature; CIAO makes effective areas if "
         "it is set up and the redshift is given")
    _hardness_maps(job)


def _hardness_maps(job: Job) -> None:
    """Map the hardness of the bins."""
    made = job.call(write_hardness_maps, job.layout.binmap, _folder_of_spectra(job),
                    job.out(job.layout.maps / "hardness.fits").parent)
    job.note(maps=", ".join(path.name for path in made))
