"""Campaigns: ``python -m fuzz`` runs targets, some at a time, and keeps logs, findings and a table in build/fuzz.

Needs atheris, and the package twice: as it is installed, and built with clang's sanitizers (`make fuzz` does both).
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import atheris

from .targets import TARGETS, Target

BUILD = Path(__file__).resolve().parents[2] / "build/fuzz"
SECONDS_OF_ONE = 20
MEGABYTES = 2500

ENVIRONMENT = {**os.environ, "PYTHONHASHSEED": "0"}
# The package built with the sanitizers comes first, and cannot be imported without their runtime: that with libFuzzer
# in it, which atheris brings.
SANITIZED = {**ENVIRONMENT, "PYTHONPATH": f"{BUILD / 'package'}:{os.environ.get('PYTHONPATH', '')}",
             "LD_PRELOAD": str(Path(atheris.__file__).parents[1] / "asan_with_fuzzer.so"),
             "UBSAN_OPTIONS": "print_stacktrace=1",
             # Without a stack for each piece of memory, which costs a fifth of the time: a finding runs again with it.
             "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=16:malloc_context_size=0"}


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    options.add_argument("--executions", type=int, default=1_000_000)
    options.add_argument("--jobs", type=int, default=1, help="targets at a time")
    options.add_argument("targets", nargs="*", help="names, or none: all")
    chosen = options.parse_args()
    names = chosen.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        options.error(f"there is no target {unknown[0]}: there are {', '.join(TARGETS)}")
    with ThreadPoolExecutor(chosen.jobs) as pool:
        clean = pool.map(lambda name: campaign(TARGETS[name], chosen.executions), names)
        failed = [name for name, is_clean in zip(names, clean, strict=True) if not is_clean]
    sys.exit(f"findings in {', '.join(failed)}: see {BUILD / 'findings'}" if failed else 0)


def campaign(target: Target, executions: int) -> bool:
    """Runs a target until it has that many executions, or a finding. Says whether it found nothing."""
    corpus, findings, log = BUILD / "corpus" / target.name, BUILD / "findings", BUILD / f"{target.name}.log"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    command = [sys.executable, "-m", "fuzz.guided", target.name, str(corpus), f"-runs={executions}",
               f"-artifact_prefix={findings}/{target.name}-", f"-max_len={target.longest}",
               f"-timeout={SECONDS_OF_ONE}", f"-rss_limit_mb={MEGABYTES}", "-print_final_stats=1"]
    if target.words:
        command.append(f"-dict={dictionary(target)}")
    begun = time.monotonic()
    with log.open("w") as file:
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False,
                              env=SANITIZED if target.sanitized else ENVIRONMENT).returncode
    result = summary(log.read_text(errors="replace"), time.monotonic() - begun)
    result.update(target=target.name, found=code != 0)
    with (BUILD / "results.jsonl").open("a") as file:
        file.write(json.dumps(result) + "\n")
    print("{target}: {executions} executions, {seconds} s, {corpus} inputs, {memory_mb} MB, "
          "{what}".format(**result, what=f"FOUND something, see {log}" if code else "nothing found"), flush=True)
    return code == 0


def summary(log: str, seconds: float) -> dict[str, object]:
    """What libFuzzer says of its work: memory is that after a tenth or so, and at the end."""
    states = [(int(at), int(corpus), int(memory)) for at, corpus, memory
              in re.findall(r"^#(\d+)\t.*corp: (\d+)/.*rss: (\d+)Mb", log, re.MULTILINE)]
    done, corpus, _ = states[-1] if states else (0, 0, 0)
    executed = re.search(r"stat::number_of_executed_units: (\d+)", log)
    early = next((memory for at, _, memory in states if at >= done / 10), 0)
    return {"executions": int(executed[1]) if executed else done, "seconds": round(seconds), "corpus": corpus,
            "memory_mb": [early, states[-1][2] if states else 0]}


def dictionary(target: Target) -> Path:
    """The words of a target, as libFuzzer reads them."""
    path = BUILD / f"{target.name}.words"
    lines = ['"{}"'.format("".join(f"\\x{byte:02x}" for byte in word)) for word in target.words if word]
    path.write_text("\n".join(lines) + "\n")
    return path


if __name__ == "__main__":
    main()
