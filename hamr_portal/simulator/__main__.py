"""How is the simulator started by itself? `python -m hamr_portal.simulator`."""

import argparse
from pathlib import Path

from ._faults import NAMES, VERBS
from ._serve import SPELLINGS, serve


def main() -> None:
    """Read the words of the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m hamr_portal.simulator", description="A stand-in for the HAMR API.")
    parser.add_argument("--port", type=int, default=0, help="of the first site (default: free ones)")
    parser.add_argument("--spelling", choices=SPELLINGS, help="of every answer (default: each pair has both)")
    parser.add_argument("--scene", choices=["demo"], default="demo", help="what there is and what happens")
    parser.add_argument("--organizations", type=Path, metavar="FILE", help="where to write what to import")
    parser.add_argument("--begin", action="store_true", help="let the scene's troubles begin at once")
    parser.add_argument(
        "--faults",
        default="",
        help=f"NAME[:VERB]:FAULT, comma-separated; verbs: {', '.join(VERBS)}; faults: {', '.join(NAMES)}",
    )
    words = parser.parse_args()
    try:
        serve(
            port=words.port,
            spelling=words.spelling,
            faults=words.faults,
            organizations=words.organizations,
            begin=words.begin,
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
