"""Runs benchmarks and prints their tables.   python -m benchmarks [NAME ... | --all] [--quick] [--output FILE] [--docs]

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

from .harness import CHECKOUT, BenchmarkError, Settings, Table, machine_lines, put_between_marks, say, write_report

HERE = Path(__file__).resolve().parent
# What is run without names, in this order: ten minutes. All others come behind.
USUAL = ["races", "scaling", "growth", "contour_bin", "contbin", "cli", "instructions"]
DOCS = CHECKOUT / "docs/races.md"


def modules() -> dict[str, Path]:
    """The benchmarks by name."""
    found = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    found["instructions"] = HERE / "instructions.py"
    return {name: found[name] for name in [*USUAL, *(name for name in found if name not in USUAL)]}


def main() -> int:
    known = modules()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time chandra-bin, and print tables.")
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=f"what to run: {', '.join(known)} (default: {', '.join(USUAL)})")
    parser.add_argument("--all", action="store_true", help="run all of them, which takes long")
    parser.add_argument("--quick", action="store_true", help="small images, once each: whether it runs, no figures")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the tables to a Markdown file too")
    parser.add_argument("--docs", action="store_true",
                        help=f"put the tables and plots into {DOCS.relative_to(CHECKOUT)} and docs/images")
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
        settings = Settings(Path(folder), arguments.quick, DOCS.parent / "images" if arguments.docs else None)
        for name in known if arguments.all else arguments.names or USUAL:
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
    if arguments.docs and not failed:
        put_between_marks(DOCS, lines, done)
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
