"""Fuzzing: bytes that nobody wrote, to the readers of images, recipes and submissions.

The campaign runs atheris over all three for twenty minutes; its sample mutates by a seeded dice
instead, without atheris. `python -m robustness.fuzz reader --seconds 60` fuzzes one of them, and
`python -m robustness.fuzz reader FILE` feeds it a file that was found.
"""

import argparse
import importlib.util
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from robustness.figures import ROOT, Figure, say
from robustness.fuzz_targets import TARGETS, Finding, Target, corpus, target
from robustness.projects import environment

SECONDS = 20 * 60  # for each target
QUICK = 300  # executions of each target
LONGEST = 10  # seconds of a core for one execution: a machine that others use may take more
ENDLESS = 300  # seconds, by the clock
MEGABYTES = 1800  # of the whole process: the largest images, and atheris
LONGEST_INPUT = 1 << 14  # bytes
SEED = 8
EXECUTED, PEAK = "number_of_executed_units", "peak_rss_mb"  # as libFuzzer calls them
TOKENS = (
    *(b"\xff\xd8", b"\xff\xd9", b"\xff\xc0\x00\x11\x08", b"IHDR", b"IDAT", b"acTL", b"\xff" * 4),
    *(b"\x7f\xff\xff\xff", b"\x00\x00\x00\x00", b"II*\x00", b"VP8X", b"ANMF", b"Exif\x00\x00"),
    *(b"nan", b"inf", b"-1", b"1e999", b"[[", b"{}", b'"""', b"=", b".", b"\xef\xbb\xbf", b"\r"),
    *(b'"', b";", b"\t", b"\xe9", b"\xcc\x81", b"true", b"99999999999999999999", b"stages", b"\0"),
)


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    if quick:
        return [_dice(name, scratch) for name in TARGETS]
    if importlib.util.find_spec("atheris") is None:
        raise ModuleNotFoundError(
            "atheris is not installed: pip install it (x86-64 Linux has wheels), or try --quick"
        )
    with ThreadPoolExecutor() as pool:  # an hour in twenty minutes
        figures = pool.map(lambda name: _fuzzed(name, SECONDS, scratch), TARGETS)
        return list(chain.from_iterable(figures))


def _dice(name: str, scratch: Path) -> Figure:
    """So many seeded mutations of the corpus; an exception of the target ends the part."""
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
        end = min(len(data), at + dice.randint(1, 8))
        kind = dice.randrange(7)
        if kind == 0:
            data[at:end] = dice.randbytes(end - at)
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 2:
            data[at:at] = dice.choice(TOKENS)
        elif kind == 3:
            data[at:end] = dice.choice(TOKENS)[: end - at]
        elif kind == 4:
            del data[at : at + dice.randint(1, 40)]
        elif kind == 5:
            del data[at:]
        else:
            other = dice.choice(seeds)
            data[at:end] = other[dice.randrange(len(other)) :][:200]
    return bytes(data)


def _fuzzed(name: str, seconds: int, scratch: Path) -> list[Figure]:
    """Fuzz a target in a process of its own; a finding ends it."""
    say(f"fuzzing the {name} for {seconds / 60:g} minutes")
    log, found = scratch / f"{name}.log", ROOT / "build" / "fuzz"
    command = [sys.executable, "-m", "robustness.fuzz", name, "--seconds", str(seconds)]
    with log.open("wb") as file:
        # The readers' C libraries write a line for each broken image.
        done = subprocess.Popen(
            [*command, "--found", str(found)], env=environment(), stdout=file, stderr=file
        )
        done.wait()
    shutil.rmtree(_scratch(done.pid))
    text = log.read_text(errors="replace")
    runs, peak = (re.findall(rf"stat::{what}: *(\d+)", text) for what in (EXECUTED, PEAK))
    note = f"see {found}: {text[-1500:]}" if done.returncode else ""
    return [
        Figure(f"{name}: findings by atheris", int(done.returncode != 0), "= 0", note),
        Figure(f"{name}: executions", int(runs[-1]) if runs else 0, "≥ 1000"),
        Figure(f"{name}: largest memory, MB", int(peak[-1]) if peak else 0, f"≤ {MEGABYTES}"),
    ]


def fuzz(name: str, seconds: int, found: Path) -> None:
    """Let atheris mutate a target's input until the time is over; does not return."""
    import atheris

    include = ["podium", "PIL", "tomllib", "csv", "pydantic"]
    with atheris.instrument_imports(include=include):
        from PIL import Image

        Image.init()  # the modules of all formats
        execute = target(name, _scratch())
    seeds = _scratch() / "corpus"
    seeds.mkdir()
    for number, data in enumerate(corpus(name)):
        (seeds / str(number)).write_bytes(data)
    words = seeds.parent / "tokens"
    escaped = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS)
    words.write_text("".join(f'"{token}"\n' for token in escaped))
    found.mkdir(parents=True, exist_ok=True)
    options = {
        "max_total_time": seconds,
        "timeout": ENDLESS,
        "rss_limit_mb": MEGABYTES,
        "max_len": LONGEST_INPUT,
        "seed": SEED,
        "dict": words,
        "artifact_prefix": f"{found}/{name}-",
        "print_final_stats": 1,
    }
    arguments = [f"-{option}={value}" for option, value in options.items()]
    atheris.Setup([sys.argv[0], *arguments, str(seeds)], lambda data: _timed(execute, bytes(data)))
    atheris.Fuzz()


def _timed(execute: Target, data: bytes) -> None:
    began = time.process_time()
    execute(data)
    if (took := time.process_time() - began) > LONGEST:
        raise Finding(f"it took {took:.0f} s")


def _scratch(process: int | None = None) -> Path:
    """A folder in memory, of this process: libFuzzer ends it without tidying."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else Path(tempfile.gettempdir())
    folder = place / f"podium-fuzz-{process or os.getpid()}"
    folder.mkdir(exist_ok=True)
    return folder


def main() -> None:
    """`python -m robustness.fuzz NAME`: fuzz it, or feed it the files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=TARGETS)
    parser.add_argument("files", nargs="*", type=Path, help="inputs to feed instead")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--found", type=Path, default=ROOT / "build" / "fuzz")
    words = parser.parse_args()
    if not words.files:
        fuzz(words.name, words.seconds, words.found)
    execute = target(words.name, _scratch())
    for file in words.files:
        say(str(file))
        execute(file.read_bytes())


if __name__ == "__main__":
    main()
