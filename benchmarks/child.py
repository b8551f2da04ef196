"""Runs one function in this fresh process and prints what it returns: `benchmarks.harness.in_child`."""

import json
import sys
from importlib import import_module


def main() -> None:
    request = json.loads(sys.argv[1])
    module, name = request["function"].split(":")
    print(json.dumps(getattr(import_module(module), name)(**request["arguments"])))


if __name__ == "__main__":
    main()
