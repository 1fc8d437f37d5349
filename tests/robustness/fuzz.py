"""Fuzzing: bytes that nobody wrote, to the readers of images, recipes and submissions.

The campaign runs atheris over all three for twenty minutes; its sample mutates by a seeded dice
instead, without atheris. `python -m robustness.fuzz reader` fuzzes one of them, and
`python -m robustness.fuzz reader FILE` feeds it a file that was found.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from robustness.figures import ROOT, Figure, say
from robustness.fuzz_targets import TARGETS, Finding, Target, corpus, target
from robustness.projects import environment

SECONDS = 20 * 60  # for each target
QUICK = 300  # executions of each target
LONGEST = 10  # seconds of a core for one execution: a machine that others use may take more
MEGABYTES = 1800  # of the whole process: the largest images, and atheris
SEED = 8
FOUND = ROOT / "build" / "fuzz"  # inputs that are findings
TOKENS = (b"\xff\xd8", b"\xff\xd9", b"IHDR", b"IDAT", b"\xff" * 4, b"II*\x00", b"VP8X", b"nan",
          b"1e999", b"[[", b'"""', b'"', b";", b"\xe9", b"99999999999999999999", b"\0")  # fmt: skip


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    if quick:
        return [mutations(name, scratch) for name in TARGETS]
    with ThreadPoolExecutor() as pool:  # an hour in twenty minutes
        parts = pool.map(lambda name: fuzzed(name, scratch / f"{name}.log"), TARGETS)
        return [figure for part in parts for figure in part]


def mutations(name: str, scratch: Path) -> Figure:
    """So many seeded mutations of the corpus."""
    execute, seeds, dice = target(name, scratch), corpus(name), random.Random(SEED)
    found = []
    for number in range(QUICK):
        data = seeds[number] if number < len(seeds) else mutated(seeds, dice)
        try:
            execute(data)
        except Exception as error:  # whatever comes is what is looked for
            found.append(f"{type(error).__name__}: {error} from {data[:400]!r}")
    return Figure.of_failures(f"{name}: findings in {QUICK} mutations", found)


def mutated(seeds: list[bytes], dice: random.Random) -> bytes:
    """One of the seeds, changed in one to six places."""
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(data) + 1)
        end = at + dice.randint(0, 40)
        other = dice.choice(seeds)[at:end]
        data[at:end] = dice.choice([dice.randbytes(end - at), dice.choice(TOKENS), b"", other])
    return bytes(data)


def fuzzed(name: str, log: Path) -> list[Figure]:
    """Fuzz a target in a process of its own; a finding ends it."""
    say(f"fuzzing the {name} for {SECONDS / 60:g} minutes")
    command = [sys.executable, "-m", "robustness.fuzz", name, "--seconds", str(SECONDS)]
    with log.open("wb") as file:  # C libraries write a line for each broken image
        code = subprocess.run(command, env=environment(), stdout=file, stderr=file).returncode
    text = log.read_text(errors="replace")
    runs = re.findall(r"stat::number_of_executed_units: *(\d+)", text)
    peak = re.findall(r"stat::peak_rss_mb: *(\d+)", text)
    note = f"see {FOUND}: {text[-1500:]}" if code else ""
    return [
        Figure(f"{name}: findings by atheris", int(code != 0), "= 0", note),
        Figure(f"{name}: executions", int(runs[-1]) if runs else 0, "≥ 1000"),
        Figure(f"{name}: largest memory, MB", int(peak[-1]) if peak else 0, f"≤ {MEGABYTES}"),
    ]


def fuzz(name: str, seconds: int, files: list[str], scratch: Path) -> None:
    """Let atheris mutate a target's input until the time is over, or feed it files; ends Python."""
    import atheris

    with atheris.instrument_imports(include=["podium", "PIL", "tomllib", "csv", "pydantic"]):
        from PIL import Image

        Image.init()  # the modules of all formats
        execute = target(name, scratch)
    seeds = scratch / "corpus"
    seeds.mkdir()
    for number, data in enumerate(corpus(name)):
        (seeds / str(number)).write_bytes(data)
    escaped = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS)
    (scratch / "tokens").write_text("".join(f'"{token}"\n' for token in escaped))
    FOUND.mkdir(parents=True, exist_ok=True)
    options = {
        "max_total_time": seconds,
        "timeout": 300,
        "rss_limit_mb": MEGABYTES,
        "max_len": 1 << 14,
        "seed": SEED,
        "dict": scratch / "tokens",
        "artifact_prefix": f"{FOUND}/{name}-",
        "print_final_stats": 1,
    }
    arguments = [*(f"-{option}={value}" for option, value in options.items())]
    inputs = files or [str(seeds)]
    atheris.Setup([sys.argv[0], *arguments, *inputs], lambda data: _timed(execute, bytes(data)))
    atheris.Fuzz()


def _timed(execute: Target, data: bytes) -> None:
    began = time.process_time()
    execute(data)
    if (took := time.process_time() - began) > LONGEST:
        raise Finding(f"it took {took:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=TARGETS)
    parser.add_argument("files", nargs="*", help="inputs to feed instead")
    parser.add_argument("--seconds", type=int, default=60)
    words = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="podium-fuzz-"))  # libFuzzer ends without tidying
    fuzz(words.name, words.seconds, words.files, scratch)


if __name__ == "__main__":
    main()
