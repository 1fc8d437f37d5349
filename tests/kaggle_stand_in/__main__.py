"""Run one built kernel as the stand-in does, printing its log; exits with its code.

PYTHONPATH=tests python -m kaggle_stand_in run build/sample-b0 --root /tmp/x
"""

import argparse
import json
import sys
from pathlib import Path

from kaggle_stand_in.environment import make_environment
from kaggle_stand_in.runner import Run, lay_out, remove_input


def main() -> int:
    parser = argparse.ArgumentParser(prog="kaggle_stand_in", description=__doc__)
    run = parser.add_subparsers(required=True).add_parser("run", help="run one built kernel")
    run.add_argument("folder", type=Path, help="with kernel-metadata.json and the code file")
    run.add_argument("--root", type=Path, required=True, help="a new folder, laid out as /kaggle")
    run.add_argument(
        "--python",
        type=Path,
        default=Path(sys.executable),
        help="whose packages the kernel has, without podium and what Kaggle lacks",
    )
    run.add_argument(
        "--mount",
        action="append",
        default=[],
        metavar="SLUG=PATH",
        help="a zip or folder to be found as input/SLUG",
    )
    arguments = parser.parse_args()
    metadata = json.loads((arguments.folder / "kernel-metadata.json").read_text(encoding="utf-8"))
    if arguments.root.exists():
        parser.error(f"{arguments.root} is there already: name a new folder")
    mounts = dict(mount.split("=", 1) for mount in arguments.mount)
    root = arguments.root.resolve()
    lay_out(root, {slug: Path(path) for slug, path in mounts.items()})
    kernel = Run(
        # Not resolved: a link is how an environment's Python knows where it belongs.
        python=make_environment(
            root / "environment",
            arguments.python.absolute(),
            metadata.get("machine_shape", "").startswith("Tpu"),
        ),
        root=root,
        text=(arguments.folder / metadata["code_file"]).read_text(encoding="utf-8"),
        kernel_type=metadata["kernel_type"],
        hear=_print,
        executed=root / "executed.ipynb",
        internet=metadata.get("enable_internet", True),
    )
    try:
        return kernel.wait()
    except KeyboardInterrupt:
        kernel.kill()
        return kernel.wait()
    finally:
        remove_input(root)


def _print(stream: str, line: str) -> None:
    print(line, end="", flush=True, file=sys.stderr if stream == "stderr" else sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
