"""Models folded through real responses, against a slow, obvious loop and against Sherpa."""

import logging

import numpy as np
import pytest
from astropy.io import fits

from chandra_bin.errors import InputError
from chandra_bin.spectral import ModelOptions, TemplateFamily, fold, read_arf, read_rmf, thermal_model
from chandra_bin.spectral.ogip import Arf, Rmf
from spectral_data import PAIRS, matrix_by_rows, shared, unpacked

BAND = slice(34, 479)


@pytest.fixture(scope="module")
def model():
    return thermal_model(ModelOptions(model="brems", nh=0.05, redshift=0.05), (2, 6))


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.full) if kind == "mkrmf" else kind
                                  for kind in PAIRS])
def test_rates_are_sums_over_energies(kind, model):
    arf_file, rmf_file = map(shared, PAIRS[kind])
    templates = fold(model, [(read_arf(arf_file), read_rmf(rmf_file))])
    table = fits.getdata(arf_file, "SPECRESP")
    edges = np.append(table["ENERG_LO"], table["ENERG_HI"][-1:]).astype(float)
    expected = (model.photons(edges) * table["SPECRESP"].astype(float)) @ matrix_by_rows(rmf_file)
    assert templates.first_channel == 35
    assert templates.rates.shape == (1, len(model.kt_kev), 2, 445)
    np.testing.assert_allclose(templates.rates[0], expected[..., BAND], rtol=1e-6)


@pytest.mark.parametrize("kind", PAIRS)
def test_sherpa_folds_to_the_same_rates(kind, model, tmp_path):
    pytest.importorskip("sherpa")
    from sherpa.astro.io import read_arf as sherpa_arf
    from sherpa.astro.io import read_rmf as sherpa_rmf

    logging.getLogger("sherpa").setLevel(logging.ERROR)
    arf_file, rmf_file = map(shared, PAIRS[kind])
    arf, rmf = sherpa_arf(str(arf_file)), sherpa_rmf(str(unpacked(rmf_file, tmp_path)))
    edges = np.append(rmf.energ_lo, rmf.energ_hi[-1:]).astype(float)
    expected = [rmf.apply_rmf(arf.apply_arf(each)) for each in model.photons(edges)[:, 0]]
    rates = fold(model, [(read_arf(arf_file), read_rmf(rmf_file))]).rates[0, :, 0]
    np.testing.assert_allclose(rates, np.array(expected)[:, BAND], rtol=1e-6)


def small_response(**changes):
    """Ten energies, eight channels."""
    edges = np.linspace(0.5, 3, 11)
    channels = np.linspace(0.4, 2.8, 9)
    offsets = np.arange(0, 21, 2)
    places = np.minimum(np.arange(10), 6).repeat(2) + np.tile([0, 1], 10)
    values = {"energy_lo": edges[:-1], "energy_hi": edges[1:], "channel_lo": channels[:-1], "channel_hi": channels[1:],
              "first_channel": 1, "row_offsets": offsets, "places": places.astype(np.int32),
              "values": np.full(20, 0.5), "file": "small.rmf", **changes}
    area = Arf(edges[:-1], edges[1:], np.full(10, 100.0), file="small.arf")
    return area, Rmf(**values)


def test_a_response_on_the_grid_of_another_is_no_reason_to_compute_the_model_again(model):
    calls = []

    class Counted:
        kt_kev, has_abundance, describe = model.kt_kev, False, model.describe

        def photons(self, edges):
            calls.append(len(edges))
            return model.photons(edges)

    templates = fold(Counted(), [small_response()] * 3, (0.4, 3))
    assert calls == [11]
    np.testing.assert_array_equal(templates.rates[0], templates.rates[2])
    assert repr(templates).endswith("8 channels from 1>")


def test_a_matrix_that_includes_the_area_needs_none(model):
    arf, rmf = small_response()
    _, full = small_response(values=np.full(20, 50.0), includes_area=True)
    np.testing.assert_allclose(fold(model, [(None, full)], (0.4, 3)).rates, fold(model, [(arf, rmf)], (0.4, 3)).rates)


def changed_arf(**changes):
    arf, rmf = small_response()
    return Arf(**{"energy_lo": arf.energy_lo, "energy_hi": arf.energy_hi, "area_cm2": arf.area_cm2, "file": "a.arf",
                  **changes}), rmf


@pytest.mark.parametrize(("responses", "message"), [
    ([], "responses is empty: give at least one ARF and RMF"),
    ([(None, small_response()[1])], "small.rmf: needs an effective area: give the ARF"),
    ([(small_response()[0], small_response(includes_area=True)[1])], "small.rmf: includes the effective area"),
    ([changed_arf(area_cm2=np.zeros(10))], "a.arf: has no area at all in the band"),
    ([changed_arf(energy_lo=np.linspace(20, 29, 10), energy_hi=np.linspace(21, 30, 10))],
     "a.arf: has 10 energies of 20 - 30 keV, and small.rmf 10 energies of 0.5 - 3 keV: give the ARF"),
    ([changed_arf(energy_lo=np.array([0.5]), energy_hi=np.array([3.0]), area_cm2=np.array([1.0]))],
     "a.arf: has 1 energies"),
    ([small_response(), small_response(first_channel=0)], "small.rmf: has 8 channels from 0, and small.rmf 8 from 1"),
    ([small_response(), small_response(channel_lo=np.linspace(0.6, 2.7, 8))],
     "small.rmf: has other channel energies"),
])
def test_responses_that_do_not_fit_are_one_line(responses, message, model):
    with pytest.raises(InputError, match=message):
        fold(model, responses, (0.4, 3))


def test_a_band_without_channels_is_refused(model):
    with pytest.raises(InputError, match=r"small.rmf: has no channel in the band 5 - 7 keV, only 0.4 - 2.8 keV"):
        fold(model, [small_response()], (5, 7))


@pytest.mark.full
def test_200_responses_are_read_and_folded_in_time(tmp_path):
    """On two cores 15 s of the clock; here processor time, as others may use them."""
    import time

    arf, rmf = shared("responses/12845.warf"), unpacked(shared("responses/12845.wrmf.gz"), tmp_path)
    model = thermal_model(ModelOptions(model="brems", nh=0.05), (0.6, 20))
    start = time.process_time()
    templates = fold(model, ((read_arf(arf), read_rmf(rmf)) for _ in range(200)))
    assert time.process_time() - start < 30
    assert templates.rates.shape[0] == 200


class Counted(list):
    """Responses that count how many of them were read."""

    read = 0

    def __iter__(self):
        for self.read, each in enumerate(super().__iter__(), start=1):
            yield each


@pytest.fixture
def memory(monkeypatch):
    def limit(available):
        monkeypatch.setattr("chandra_bin._checks.memory.available_bytes",
                            available if callable(available) else lambda: available)
    return limit


def test_templates_beyond_the_memory_are_refused_before_the_first_is_folded(model, memory, monkeypatch):
    memory(1e6)
    responses = Counted([small_response()] * 500)
    monkeypatch.delattr(Rmf, "matrix")
    with pytest.raises(InputError, match=r"^the templates of 500 responses need about 0\.00\d+ GB of memory, and "
                                         r"0\.001 are available: give responses of tiles"):
        fold(model, responses, (0.5, 2.7))
    assert responses.read == 1


def test_the_memory_for_responses_of_unknown_number_is_checked_as_their_templates_grow(model, memory):
    size = fold(model, [small_response()], (0.5, 2.7)).rates.nbytes
    small = (2 * 10 + 2 * 10) * size  # ten responses, and the photons and matrix of the next
    memory(lambda: small - responses.read * size)
    responses = Counted(small_response() for _ in range(500))
    with pytest.raises(InputError, match=r"^the templates of \d+ responses need about"):
        fold(model, iter(responses), (0.5, 2.7))
    assert 5 < responses.read < 20


@pytest.mark.parametrize("number", [3, 500])
def test_families_beyond_the_memory_are_refused_before_all_responses_are_read(number, model, memory):
    size = fold(model, [small_response()], (0.5, 2.7)).rates.nbytes
    responses = Counted(small_response() for _ in range(number))
    memory(3 * number * size - 1)
    with pytest.raises(InputError, match=f"^the matrices and templates of {number} responses need about"):
        TemplateFamily(model, responses, (0.5, 2.7))
    assert responses.read == 1
    memory(3 * number * size + 1e6)
    assert len(TemplateFamily(model, responses, (0.5, 2.7)).given.rates) == number


def test_the_memory_of_matrices_is_extrapolated_from_many_responses(model, memory):
    size = fold(model, [small_response()], (0.5, 2.7)).rates.nbytes
    matrix = sum(each.nbytes for each in (small_response()[1].row_offsets, small_response()[1].places,
                                          small_response()[1].values))
    memory(3 * 500 * size + 449 * matrix)
    responses = Counted(small_response() for _ in range(500))
    with pytest.raises(InputError, match=r"^the matrices and templates of 500 responses need about"):
        TemplateFamily(model, responses, (0.5, 2.7))
    assert responses.read == 50
    of_one_matrix = [small_response()] * 500
    TemplateFamily(model, of_one_matrix, (0.5, 2.7))
