"""Runs benchmarks and prints their tables.   python -m benchmarks [NAME ...] [--quick] [--output FILE]

Misses are marked in the tables; the exit code is 0 all the same, and 1 only where a benchmark could not be run.
"""

import argparse
import ast
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from .harness import CHECKOUT, BenchmarkError, Settings, Table, machine_lines, say, write_report

HERE = Path(__file__).resolve().parent
# In this order, then all others; instruction counts come last, as they take longest.
FIRST, LAST = ["contour_bin", "smooth", "cli", "contbin"], ["instructions"]


def modules() -> dict[str, Path]:
    """The benchmarks by name."""
    found = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    found["instructions"] = HERE / "instructions.py"
    names = [*FIRST, *(name for name in found if name not in FIRST + LAST), *LAST]
    return {name: found[name] for name in names if name in found}


def main() -> int:
    known = modules()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time chandra-bin, and print tables.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to run: {', '.join(known)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small images, once each: whether it runs, no figures")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the tables to a Markdown file too")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in known:
            parser.error(f"no benchmark {name!r}: there are {', '.join(known)}")
    if arguments.output and not arguments.output.parent.is_dir():
        parser.error(f"--output {arguments.output}: there is no folder {arguments.output.parent}")
    lines = list(machine_lines())
    for line in lines:
        print(f"- {line}")

    done: list[Table] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="chandra-bin-bench-") as folder:
        settings = Settings(Path(folder), arguments.quick)
        for name in arguments.names or known:
            try:
                for table in run(known[name], settings):
                    done.append(table)
                    print(f"\n{table.markdown()}", end="", flush=True)
            except BenchmarkError as error:
                failed = True
                done.append(Table(name, [], remarks=[f"**failed**: {error}"]))
                print(f"\n{done[-1].markdown()}", end="", flush=True)
    if arguments.output:
        with arguments.output.open("w") as file:
            write_report(file, lines, done)
    return 1 if failed else 0


def run(path: Path, settings: Settings) -> Iterator[Table]:
    """The tables of a benchmark; a module without ``tables`` is a script of its own (and knows no ``--quick``)."""
    tree = ast.parse(path.read_text())
    if any(isinstance(node, ast.FunctionDef) and node.name == "tables" for node in tree.body):
        yield from import_module(f"benchmarks.{path.stem}").tables(settings)
        return
    title = (ast.get_docstring(tree) or path.stem).splitlines()[0].split("   ")[0].rstrip(".")
    if settings.quick:
        yield Table(title, [], remarks=["Not run with --quick."])
        return
    say(f"{path.stem}: running the script")
    done = subprocess.run([sys.executable, path], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"{path.name}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    yield Table(title, [], text=done.stdout)


if __name__ == "__main__":
    sys.exit(main())
