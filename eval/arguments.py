"""The arguments of `python -m eval.run`, and what is refused before any time is spent."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from eval.evaluate import PICTURES
from eval.networks import Networks
from eval.plugins import load_protocol
from eval.protocol import Protocol, obstacle
from registry import METRICS, PROTOCOLS

COMMAND = "geotrans-eval"
EXAMPLES = """\
examples:
  python -m eval.run
      every bundled model on the built-in benchmark
  python -m eval.run --models spm_refine_64.synthface local-dir:runs/mine --protocol synthface_attr4_64
      two models side by side; --compare A B adds a paired test between two rows
  python -m eval.run --models hf-hub:ORG/NAME --limit 100 --metrics psnr flow_epe
      a quick look; the board says that it is not the standard protocol
  python -m eval.run --protocol my_protocol.toml --data ~/faces --judge emotion=runs/judge
      a protocol of your own; --plugin FILE.py runs a file that registers models, metrics or protocols
  python -m eval.run --generated out/ --reference real/ --metrics fid lpips psnr ssim
      two folders of pictures, whatever made them
  python -m eval.run --generated out/ --reference real/ --source in/ --metrics id_cosine id_detection_rate \\
      --judge identity=facenet_vggface2_aligned
      and what they were made from
  python -m eval.run --generated out/ --protocol synthface_attr4_64
      pictures that another program made of a protocol's samples, each called by its sample's id
  accelerate launch --num_processes 4 -m eval.run --device cuda
      several processes share the work (torchrun starts them without a GPU); a run that was killed goes on
  python -m eval.run --list
      protocols and metrics
  GEOTRANS_CACHE=DIR python -m eval.run ...
      what large networks say of a dataset's pictures is kept for later runs in DIR (default: ~/.cache/geotrans)
  geotrans-eval board | compare | verify | publish | study | export --help
      what to do with results that are there, and with samples
"""


def parser() -> argparse.ArgumentParser:
    """The arguments of `python -m eval.run`."""
    made = argparse.ArgumentParser(
        prog=COMMAND,
        description="Score models on a protocol, or two folders of pictures, and write a board.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = made.add_argument_group("what to score")
    what.add_argument("--models", nargs="+", metavar="NAME", help="arch.tag, local-dir:PATH or hf-hub:ORG/NAME[@REV]")
    what.add_argument(
        "--protocol", metavar="NAME", help="protocol to score on, or a .toml file; by default those that fit"
    )
    what.add_argument("--data", metavar="DIR", help="the folder of a protocol's dataset, if it reads files")
    what.add_argument("--generated", metavar="DIR", help="pictures to score, with --reference or --protocol")
    what.add_argument("--reference", metavar="DIR", help="the folder they are compared with")
    what.add_argument("--source", metavar="DIR", help="what the pictures were made from, for metrics that ask for it")
    what.add_argument("--metrics", nargs="+", metavar="NAME", help="metrics to compute; by default all that can be")
    what.add_argument(
        "--judge", nargs="+", default=[], metavar="ROLE=NAME", help="a feature, or a judge's folder, for a role"
    )
    what.add_argument(
        "--plugin", nargs="+", default=[], metavar="FILE", help="Python files that register something; they are run"
    )
    how = made.add_argument_group("how")
    how.add_argument("--output", default="results", metavar="DIR", help="where the board goes (default: results)")
    how.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    how.add_argument("--limit", type=int, metavar="N", help="score only the first N samples")
    how.add_argument("--seed", type=int, help="another seed of the dataset")
    how.add_argument("--batch-size", type=int, default=50, metavar="N", help="no score depends on it (default: 50)")
    how.add_argument("--threads", type=int, metavar="N", help="threads on the CPU")
    how.add_argument("--download", action="store_true", help="fetch weights of metric networks that are missing")
    how.add_argument(
        "--pictures", type=int, default=PICTURES, metavar="N", help="keep N samples' pictures (default: 6)"
    )
    how.add_argument("--label", metavar="TEXT", help="what the history calls this run (default: the commit here)")
    how.add_argument("--compare", nargs=2, metavar=("A", "B"), help="a paired test between two rows")
    how.add_argument("--record", action="store_true", help="also write the scores into the models' published folders")
    made.add_argument("--list", action="store_true", help="list protocols and metrics, and stop")
    return made


def check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot work before any time is spent on it."""
    if arguments.reference and not arguments.generated:
        raise ValueError("--generated and --reference belong together; give both folders")
    if arguments.generated and not (arguments.reference or arguments.protocol):
        raise ValueError("--generated and --reference belong together, or --generated and --protocol; give both")
    if arguments.generated and arguments.record:
        raise ValueError("--record writes into the folders of models; it has no place with --generated")
    if arguments.reference and arguments.compare:
        raise ValueError("--compare tests two rows of one board, and --reference makes boards of one row; leave it out")
    if arguments.reference and (arguments.models or arguments.data or arguments.seed is not None):
        raise ValueError("--reference compares folders; leave out --models, --data and --seed")
    if arguments.source and not arguments.reference:
        raise ValueError("--source stands beside --generated and --reference; a protocol has sources of its own")
    for name in ("limit", "batch_size", "threads", "pictures"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')}: expected at least 1, got {value}")
    if (arguments.data or arguments.judge) and not (arguments.protocol or arguments.reference):
        raise ValueError(
            "--data is the folder of one protocol's dataset, and --judge its judge; name it with --protocol"
        )
    if arguments.protocol:
        arguments.protocol = load_protocol(arguments.protocol)
        protocol: Protocol = PROTOCOLS.get(arguments.protocol).factory()
        if why := obstacle(protocol):
            raise ValueError(f"{protocol.name} cannot be run: {why}")
        if arguments.reference and not protocol.on_folders:
            raise ValueError(
                f"{protocol.name} draws its own samples and compares with no folder; leave out --reference"
            )
    _check_device(arguments.device)
    _check_output(Path(arguments.output))


def check_metrics(arguments: argparse.Namespace, networks: Networks) -> None:
    """Refuse metrics that there are not, or whose networks are not on this machine."""
    for name in arguments.metrics or ():
        for need in METRICS.get(name).info.needs:
            kind, _, network = need.partition(".")
            if kind == "network" and (why := networks.missing(network)):
                raise FileNotFoundError(f"{name}: {why}; or let --download fetch it")


def _check_output(output: Path) -> None:
    there = next(path for path in (output.absolute(), *output.absolute().parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"--output {output}: {there} is a file; name a folder")
    if not os.access(there, os.W_OK):
        raise PermissionError(f"--output {output}: {there} cannot be written to; name another folder")


def _check_device(name: str) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name}: not usable on this machine ({str(error).splitlines()[0]})") from None
