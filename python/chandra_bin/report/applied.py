"""The effects of the settings: values that were chosen for ``auto`` and ``none``, and settings without effect."""

from collections.abc import Mapping
from typing import Any

from chandra_bin.events import vfaint
from chandra_bin.fits.headers import is_approximate, is_number
from chandra_bin.pipeline.archive import CHIPS_OF, LIGHT_CURVE_BIN_S

from .collect import Folder

_NOT = "not applied: "


def effects(folder: Folder, background: "Mapping[str, Any]") -> dict[str, str]:
    """Return how the settings were used in this run: a text for each, by name.

    Texts of settings that have no effect in this run begin with "not applied". A setting is left out where no task
    that uses it has been done, and where its value was used as given.

    ``background`` holds the parameters of the bin table.
    """
    settings = folder.config.settings
    texts = {**_of_step_2(folder), **_of_exposure(folder), **_of_light_curves(folder),
             **_of_binning(folder, background)}
    done = [task for task in folder.tasks if task.record]
    engines = sorted({task.record.engine for task in done if task.record})
    if done and settings.engine == "auto":
        texts["engine"] = f"used: {', '.join(engines)}"
    if done and "ciao" not in engines:
        texts["tool_hours"] = f"{_NOT}no tool of CIAO was run"
        if settings.responses:
            texts["responses"] = f"{_NOT}responses are made by CIAO's specextract, and the engine was native"
    seen = folder.facts("look")
    chips = {obsid: str(seen[fact]) for obsid in settings.obs_ids if (fact := f"{CHIPS_OF}{obsid}") in seen}
    if settings.ccd_ids == "auto" and chips:
        texts["ccd_ids"] = f"used: {_joined(chips)}"
    merge = folder.facts("merge")
    if settings.refcoord is None and "tangent point" in merge:
        texts["refcoord"] = f"used: {merge['tangent point']} (RA, Dec in degrees)"
    texts |= _of_spectra(folder)
    if settings.redshift is None:
        texts["redshift"] = "no scale in kpc is shown"
    return texts


def _of_spectra(folder: Folder) -> dict[str, str]:
    settings = folder.config.settings
    of_fits = ("nh", "nh_is", "redshift_is", "model", "apec", "abundance_table", "fit_band", "fit_engine")
    if not settings.spectra:
        return dict.fromkeys((*of_fits, "tiles_per_chip"), f"{_NOT}spectra is false")
    if settings.response_tiles is None and not folder.layout.made_tiles.is_file():
        return dict.fromkeys((*of_fits, "tiles_per_chip"),
                             f"{_NOT}effective areas (response_tiles) are missing, so nothing is fitted")
    if folder.facts("fit") and folder.fit() is None:
        return dict.fromkeys(of_fits, f"{_NOT}no observation has blank-sky events, so nothing is fitted")
    texts = {} if settings.response_tiles is None else {"tiles_per_chip": f"{_NOT}response_tiles is given"}
    if settings.model != "apec":
        texts["apec"] = f"{_NOT}the model is {settings.model}"
    return texts


def is_without_effect(text: str) -> bool:
    """Return whether the text of a setting states that it has no effect in this run."""
    return text.startswith(_NOT)


def _of_step_2(folder: Folder) -> dict[str, str]:
    notes = {obsid: str(facts[vfaint.NOTE]) for obsid in folder.config.settings.obs_ids
             if vfaint.NOTE in (facts := folder.facts(f"reprocess/{obsid}"))}
    if not folder.config.settings.check_vf_pha or not notes:
        return {}
    done = [obsid for obsid, note in notes.items() if note.startswith("yes")]
    left = {obsid: note.removeprefix("not done: ") for obsid, note in notes.items() if obsid not in done}
    if not left:
        return {"check_vf_pha": "applied to all observations"}
    if not done:
        return {"check_vf_pha": f"{_NOT}{_joined(left)}"}
    reasons = "; ".join(f"{obsid} ({reason})" for obsid, reason in left.items())
    return {"check_vf_pha": f"applied to {', '.join(done)}; not applied to {reasons}"}


def _of_exposure(folder: Folder) -> dict[str, str]:
    settings, expmap = folder.config.settings, folder.image(folder.layout.expmap)
    if expmap is None:
        return {}
    if is_approximate(expmap.header):
        area = expmap.header.get("EFFAREA")
        return {} if settings.area_cm2 or not is_number(area) else {"area_cm2": f"used: {area:.4g} cm²"}
    return {} if settings.area_cm2 is None else {
        "area_cm2": f"{_NOT}the exposure maps have the effective area of CIAO's calibration"}


def _of_light_curves(folder: Folder) -> dict[str, str]:
    settings = folder.config.settings
    texts = {}
    lengths = {obsid: f"{facts[LIGHT_CURVE_BIN_S]:g} s" for obsid in settings.obs_ids
               if LIGHT_CURVE_BIN_S in (facts := folder.facts(f"clean/{obsid}"))}
    if settings.lc_binsize == "auto" and lengths:
        texts["lc_binsize"] = f"used: {_joined(lengths)}"
    methods = {obsid: str(facts["flares found by"]) for obsid in settings.obs_ids
               if "flares found by" in (facts := folder.facts(f"clean/{obsid}"))}
    if other := {obsid: method for obsid, method in methods.items() if method != settings.deflare_method}:
        texts["deflare_method"] = f"{_NOT}flares were found by {_joined(other)}"
    made = [obsid for obsid in settings.obs_ids if folder.layout.obs(obsid).image.is_file()]
    lacking = [obsid for obsid in made if not folder.layout.obs(obsid).background_events.is_file()]
    if made and lacking == made:
        texts["blank_sky"] = f"{_NOT}no blank-sky events were found; the background is measured in the merged image"
    elif lacking:
        texts["blank_sky"] = f"not applied to {', '.join(lacking)}: no blank-sky events were found"
    return texts


def _of_binning(folder: Folder, background: "Mapping[str, Any]") -> dict[str, str]:
    settings = folder.config.settings
    texts = {}
    if settings.binning_image == "counts":
        texts["flux_factor"] = f"{_NOT}it scales the image of step 5, and bins are made of counts (binning_image)"
    else:
        texts["contours"] = f"{_NOT}bins follow the contours of the scaled flux (binning_image)"
    if settings.smooth_sn is None:
        texts["smooth_sn"] = f"used: {settings.contour_sn:g}"
    systematic = background.get("background_systematic")
    if background and not folder.layout.final_background.is_file():
        texts["background_systematic"] = f"{_NOT}no background was subtracted"
    elif settings.background_systematic is None and is_number(systematic):
        texts["background_systematic"] = f"used: {systematic:g}"
    return texts


def _joined(texts: "Mapping[str, str]") -> str:
    """Return texts by ObsID as one text; a text that all ObsIDs share appears once."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{obsid}: {text}" for obsid, text in texts.items())
