"""Measure one yardstick and print what it reached."""

import argparse
import json
import sys
from pathlib import Path


def main() -> int:
    """Return 0 and print a JSON document, or 3 when what is to be measured is not installed."""
    parser = argparse.ArgumentParser(prog="python -m adapters.yardsticks", description=__doc__)
    parser.add_argument("name", choices=("hot-row", "bulk", "stock-library", "umadb"))
    parser.add_argument("--url", default="", help="the PostgreSQL to measure on, as a user who may create databases")
    parser.add_argument("--directory", type=Path, default=Path(), help="where UmaDB may write")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--record-bytes", type=int, default=600)
    given = parser.parse_args()
    match given.name:
        case "hot-row":
            from adapters.yardsticks import pgbench

            figures = pgbench.hot_row(given.url, given.seconds)
        case "bulk":
            from adapters.yardsticks import pgbench

            figures = pgbench.bulk(given.url, given.seconds, given.record_bytes)
        case "stock-library":
            from adapters.yardsticks import stock_library

            figures = stock_library.run(given.url, given.seconds)
        case _:
            from adapters.yardsticks import uma

            try:
                figures = uma.run(given.directory, given.seconds, given.record_bytes)
            except uma.MissingError as error:
                sys.stderr.write(f"{error}\n")
                return 3
    sys.stdout.write(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
