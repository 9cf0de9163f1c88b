"""The sub-commands of `geotrans-eval`: what is done with results once they are there."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from eval import compare, export, study, verify
from eval.board import to_terminal, write_board
from eval.merge import merge
from eval.publish import collect, publish
from eval.storage import read_results, results_file, write_results
from geotrans.errors import user_errors

COMMAND = "geotrans-eval"
NAMES = ("board", "compare", "export", "publish", "study", "verify")
EXAMPLES = """examples:
  geotrans-eval board run1/results.json run2/results.json -o board     one board, with history and samples
  geotrans-eval board --from ORG/LEADERBOARD                           everyone's results
  geotrans-eval compare results stargan_base_64.synthface spm_refine_64.synthface
  geotrans-eval verify results --samples 32                            digests, and 32 samples scored again
  geotrans-eval export synthface_attr4_64 samples                      pictures and wanted changes, for other programs
  geotrans-eval publish results ORG/LEADERBOARD
  geotrans-eval study make results --output study && geotrans-eval study serve study
"""


def main(argv: Sequence[str]) -> None:
    """Run a sub-command. A mistake of the user is one line on stderr and exit code 2; what does not verify, exit 1."""
    arguments = _parser().parse_args(argv)
    failed = False
    with user_errors(f"{COMMAND} {arguments.command}"):
        if arguments.command == "publish":
            lines = [publish(arguments.results, arguments.repo, arguments.private, arguments.create_pr)]
        elif arguments.command == "board":
            lines = _board(arguments)
        elif arguments.command == "compare":
            lines = compare.run(arguments)
        elif arguments.command == "export":
            lines = export.run(arguments)
        elif arguments.command == "study":
            lines = study.run(arguments)
        else:
            findings = verify.run(arguments)
            failed = any(finding.verdict == "DIFFERS" for finding in findings)
            lines = [*map(str, findings), "", "does not verify" if failed else "verified as far as the lines above say"]
    sys.stdout.write("\n".join(lines) + "\n")
    if failed:
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        COMMAND,
        description="Results that are there, samples for other programs, and user studies.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    make = commands.add_parser("board", help="one board of several results, or of a leaderboard on the Hub")
    make.add_argument("results", nargs="*", type=Path, help="results.json files, or the folders they lie in")
    make.add_argument("--from", dest="repo", metavar="ORG/NAME", help="a leaderboard, a dataset repository on the Hub")
    make.add_argument("-o", "--output", default="board", metavar="DIR", help="where it goes (default: board)")
    compare.add_arguments(commands.add_parser("compare", help="is one row better than another, or is it luck?"))
    export.add_arguments(commands.add_parser("export", help="a protocol's samples as files, for other programs"))
    verify.add_arguments(commands.add_parser("verify", help="take digests again and score a few samples again"))
    send = commands.add_parser("publish", help="add a results.json to a leaderboard on the Hub")
    send.add_argument("results", type=Path, help="results.json, or the folder it lies in")
    send.add_argument("repo", help="ORG/NAME of a dataset repository; created if it does not exist")
    send.add_argument("--private", action="store_true", help="if the repository is created, for you alone")
    send.add_argument("--create-pr", action="store_true", help="propose the file instead of committing it")
    study.add_arguments(commands.add_parser("study", help="ask people which result they prefer", formatter_class=raw))
    return parser


def _board(arguments: argparse.Namespace) -> list[str]:
    if bool(arguments.results) == bool(arguments.repo):
        raise ValueError("expected results files, or --from ORG/NAME, and not both")
    if arguments.repo:
        results = collect(arguments.repo)
    else:
        if results_file(arguments.output).resolve() in {results_file(path).resolve() for path in arguments.results}:
            raise ValueError(f"--output {arguments.output} holds one of the results; name another folder")
        results = merge([read_results(path, whole=True) for path in arguments.results], None)
    write_results(results, arguments.output)
    page = next(path for path in write_board(results, arguments.output) if path.suffix == ".html")
    return [to_terminal(results, shutil.get_terminal_size((120, 24)).columns), f"\nopen {page}"]
