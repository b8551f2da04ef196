"""How pytest-benchmark runs the races: the contestants, their validation, and the stored data."""

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from .race import Call, ContestantError, Ground, Race, compiler, load_inputs, package_version
from .scenes import shared_file

# Rows of the table for contestants that were not raced.
_ABSENT = pytest.StashKey[list[dict[str, Any]]]()
_LOAD = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ABSENT] = []
    config.stash[_LOAD] = os.getloadavg()[0]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make each contestant of each race a parameter."""
    if "contest" in metafunc.fixturenames:
        entries = [(name, contestant) for name, race in metafunc.module.RACES.items()
                   for contestant in race.contestants()]
        metafunc.parametrize("contest", entries, indirect=True, ids=[f"{name}-{each}" for name, each in entries])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # neighbours on the machine change CPU seconds less than elapsed ones
        if item.path.name == "bench_growth.py":
            item.add_marker(pytest.mark.benchmark(timer=time.process_time))


@pytest.fixture(scope="session")
def quick(request: pytest.FixtureRequest) -> bool:
    """Whether inputs are small and calls are made once: with ``--benchmark-disable``."""
    return bool(request.config.getoption("benchmark_disable"))


@pytest.fixture(scope="session")
def grounds(quick: bool, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Ground]:
    made: dict[str, Ground] = {}

    def ground(module: str, name: str) -> Ground:
        if name not in made:
            made.clear()  # inputs are large, and races come one after the other
            made[name] = Ground(module, name, tmp_path_factory.mktemp(name), quick)
        return made[name]

    return ground


@pytest.fixture
def measure(request: pytest.FixtureRequest, benchmark: Any) -> Callable[..., None]:
    """Repeat a call for the time of ``--benchmark-max-time``, at most 1000 times, and store ``about`` it."""

    def repeat(call: Call, first_s: float | None = None, least: int = 1, **about: Any) -> None:
        benchmark.extra_info.update(about)
        if first_s is None:
            start = time.perf_counter()
            call()
            first_s = time.perf_counter() - start
        rounds = int(float(request.config.getoption("benchmark_max_time")) / max(first_s, 1e-4))
        benchmark.pedantic(call, rounds=min(max(rounds, least), 1000), iterations=1)

    return repeat


@pytest.fixture
def contest(request: pytest.FixtureRequest, grounds: Callable[[str, str], Ground],
            measure: Callable[..., None]) -> Callable[[], None]:
    """Validate a contestant against our answer, then race it; one that cannot be raced leaves a row with the reason."""
    name, contestant = request.param
    module = request.module.__name__
    race: Race = request.module.RACES[name]
    peer = race.peer(contestant)
    about = {"race": name, "contestant": contestant, "note": peer.note if peer else "",
             "tolerance": peer.tolerance if peer else 0.0}

    def absent(why: str) -> None:
        request.config.stash[_ABSENT].append(about | {"why": why})
        pytest.skip(f"{contestant}: {why}")

    def run() -> None:
        if race.needs and not shared_file(race.needs).is_file():
            absent(f"no file {race.needs} in $CHANDRA_BIN_SHARED")
        if peer and (missing := peer.missing()):
            absent(f"not installed: {', '.join(missing)}")
        ground = grounds(module, name)
        try:
            first = ground.first(contestant)
        except ContestantError as error:
            if peer is None:
                raise
            absent(str(error))
        differs = ""
        if peer is None or peer.tolerance is not None:
            differs = ground.difference(contestant)
            assert not differs or (peer and peer.may_differ), f"{name}, {contestant}: {differs}"
        call, _ = race.prepared(contestant, load_inputs(ground.folder))
        measure(call, first.seconds, least=1 if peer else 3, peak_mb=first.peak_mb, differs=differs, **about)

    return run


# --- the machine, in the JSON ---------------------------------------------------------------------------------------


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Store the properties that times depend on, without the name of the machine."""
    cpu = machine_info["cpu"]
    kept = {name: machine_info[name] for name in ("machine", "system", "python_version", "python_implementation")}
    kept["cpu"] = {name: cpu[name] for name in ("brand_raw", "count", "arch") if name in cpu}
    kept["compiler"], kept["numpy"], kept["chandra-bin"] = (
        compiler(), package_version("numpy"), package_version("chandra-bin"))
    kept["load before"] = config.stash[_LOAD]
    machine_info.clear()
    machine_info.update(kept)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, benchmarks: Any, output_json: dict[str, Any]) -> None:  # noqa: ARG001
    output_json["absent"] = config.stash[_ABSENT]
