"""The ledger's two commands: `add NAME FOLDER` and `page`; see `reproductions`."""

import argparse
import pathlib
import sys

import reproductions


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m reproductions", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("add", help="take in the record and the picture of a run")
    adding.add_argument("name", help="of the entry, such as gromov_5")
    adding.add_argument("folder", type=pathlib.Path, help="of the run's results")
    adding.add_argument("--figure", help="which of its figures; '' for none (default: the first)")
    adding.add_argument("--interrupted", action="store_true", help="of an interrupted run too")
    commands.add_parser("page", help="write docs/reproductions.md")
    given = parser.parse_args()
    try:
        if given.command == "add":
            asked = {"interrupted": given.interrupted}
            print(reproductions.add(given.name, given.folder, given.figure, **asked))
        reproductions.PAGE.write_text(reproductions.page(), encoding="utf-8")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(reproductions.PAGE)


if __name__ == "__main__":
    main()
