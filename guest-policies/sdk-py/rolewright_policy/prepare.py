"""The first half of a build. It loads the policy without WebAssembly, and writes the world that it is built for: the
contract, and the stages that the policy has, no more and no fewer.

    python3 -m rolewright_policy.prepare [--wit wit]     writes build/wit

An author writes a stage in one place, so nothing can be forgotten in another; and what cannot be loaded is said in
Python's words alone. componentize-py would say the same somewhere among its own.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import traceback
from pathlib import Path

from .check import WrongType
from .exported import Exported, NoPolicy, find

CODE = "policy.py"
WIT = Path("build/wit")
# The world of wit/worlds.wit that exports each stage.
WORLDS = {"validate": "validator", "transform": "transformer", "plan": "planner", "review": "reviewer"}


def _said(problem: BaseException) -> str:
    """What is wrong with the author's code, without the frames that led to it."""
    seen = traceback.TracebackException.from_exception(problem)
    ours = (__file__, importlib.__file__)
    frames = [frame for frame in seen.stack if frame.filename not in ours and not frame.filename.startswith("<frozen")]
    # Python says itself where a mistake in the syntax is; if it is in the file that was asked for, nothing led to it.
    seen.stack = traceback.StackSummary.from_list(frames)
    return "".join(seen.format() if frames else seen.format_exception_only()).rstrip()


def _load() -> Exported:
    sys.path.insert(0, "")
    try:
        exported = Exported(find(importlib.import_module("policy"))())
        exported.describe()
    except NoPolicy:
        raise
    except WrongType as wrong:
        raise NoPolicy(str(wrong)) from None
    except BaseException as problem:
        raise NoPolicy(_said(problem)) from None
    return exported


def prepare(contract: Path) -> list[str]:
    """Writes the world, and gives the stages that are in it."""
    stages = _load().stages()
    if not stages:
        raise NoPolicy(f"{CODE} takes part in no stage: write at least one of {', '.join(WORLDS)}")
    shutil.rmtree(WIT, ignore_errors=True)
    shutil.copytree(contract, WIT)
    includes = "".join(f"    include {WORLDS[stage]};\n" for stage in stages)
    (WIT / "policy.wit").write_text(f"// Written from {CODE} by each build.\nworld policy {{\n{includes}}}\n")
    return stages


def main() -> None:
    parser = argparse.ArgumentParser(prog="rolewright_policy.prepare")
    parser.add_argument("--wit", type=Path, default=Path("wit"), help="the directory of the contract")
    try:
        stages = prepare(parser.parse_args().wit)
    except NoPolicy as reason:
        raise SystemExit(str(reason)) from None
    print(f"{CODE} takes part in: {', '.join(stages)}")


if __name__ == "__main__":
    main()
