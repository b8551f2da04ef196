"""What is kept of the machine in the history: what times depend on, not its name."""

from typing import Any

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:  # noqa: ARG001
    cpu = machine_info["cpu"]
    kept = {name: machine_info[name] for name in ("machine", "system", "python_version", "python_implementation")}
    kept["cpu"] = {name: cpu[name] for name in ("brand_raw", "count", "arch") if name in cpu}
    machine_info.clear()
    machine_info.update(kept)
