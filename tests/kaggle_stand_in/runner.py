"""A kernel's code, run for real below a folder that is laid out as /kaggle is."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
SECONDS_TO_END = 2.0  # that a process may take where it cannot simply be killed with its children
PID = ["--pid", "--fork", "--kill-child", "--mount-proc"]  # children end with their parent

Hear = Callable[[str, str], None]  # stream_name and a line


def lay_out(root: Path, mounts: Mapping[str, Path]) -> None:
    """Make input/ and working/ of a kernel.

    Args:
        mounts: path below input/ → a zip, to be extracted but not the zips in it; or a folder.
    """
    (root / "working").mkdir(parents=True)
    (root / "src").mkdir()
    for name, source in mounts.items():
        target = root / "input" / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            with zipfile.ZipFile(source) as archive:
                archive.extractall(target)
    (root / "input").mkdir(exist_ok=True)
    _set_modes(root / "input", 0o555, 0o444)


def remove_input(root: Path) -> None:
    """Delete what was attached, which is a copy, once the kernel has ended."""
    _set_modes(root / "input", 0o755, 0o644)
    shutil.rmtree(root / "input")


def _set_modes(folder: Path, of_folders: int, of_files: int) -> None:
    # Bottom-up to lock, top-down to unlock: what is locked cannot be looked into by everybody.
    for path, _, names in os.walk(folder, topdown=of_folders & 0o200 != 0):
        Path(path).chmod(of_folders)
        for name in names:
            (Path(path) / name).chmod(of_files)


@functools.cache
def namespaces() -> tuple[str, ...]:
    """What `unshare` may do here, as its options; nothing where namespaces are not permitted."""
    if not shutil.which("unshare"):
        return ()
    base = ("--map-root-user", "--mount")
    for options in ((*base, *PID), base):
        with tempfile.TemporaryDirectory() as folder:
            command = [*_sandboxed(options, False, Path(folder)), "true"]
            # An own session, because the sandbox ends its process group with its input.
            with subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            ) as probe:
                code = probe.wait()
        if code == 0:
            return options
    return ()


def _sandboxed(options: tuple[str, ...], internet: bool, input_folder: Path) -> list[str]:
    """The command before a kernel's own: in namespaces with these options, or in none."""
    sandbox = [sys.executable, "-I", "-S", str(HERE / "sandbox.py")]
    if not options:
        return [*sandbox, "on", ""]
    unshare = ["unshare", *options, *([] if internet else ["--net"])]
    return [*unshare, *sandbox, "on" if internet else "off", str(input_folder)]


@dataclass
class Run:
    """A kernel's code in a process of its own, which begins at once.

    Args:
        python: of the environment that it runs with.
        root: as lay_out made it.
        text: the code, of a script or a notebook.
        hear: called with each line, from two threads.
        executed: where a notebook goes with its outputs.
    """

    python: Path
    root: Path
    text: str
    kernel_type: str
    hear: Hear
    executed: Path
    internet: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        # Short, because the paths of Unix sockets in it may not be long.
        self._own = Path(tempfile.mkdtemp(prefix="kaggle-run-"))
        self._ended = threading.Event()
        self._reaping = threading.Lock()
        self._namespaces = namespaces()
        self._process = subprocess.Popen(
            self._command(),
            cwd=self.root / "working",
            env=self._environment(),
            stdin=subprocess.PIPE,  # the sandbox's leash
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, name))
            for stream, name in (
                (self._process.stdout, "stdout"),
                (self._process.stderr, "stderr"),
            )
        ]
        for reader in self._readers:
            reader.start()

    def wait(self) -> int:
        """Wait for its end; returns its exit code, 128 and the signal's number where killed."""
        # Not taken notice of yet, so that its number cannot go to another process.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self._signal(signal.SIGKILL)  # children that it left
        for reader in self._readers:
            reader.join()
        self._process.stdin.close()
        with self._reaping:
            code = self._process.wait()
            self._ended.set()
        shutil.rmtree(self._own)
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        """End it and its children; `wait` returns."""
        if not set(PID) <= set(self._namespaces):
            self._signal(signal.SIGTERM)  # the kernel of a notebook is ended by its parent
            self._ended.wait(SECONDS_TO_END)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with self._reaping:
            if not self._ended.is_set():
                os.killpg(self._process.pid, number)

    def _read(self, stream, name: str) -> None:
        stream.reconfigure(newline="")  # a progress bar's \r ends a line too
        with stream:
            for line in stream:
                self.hear(name, line)

    def _command(self) -> list[str]:
        if self.kernel_type == "notebook":
            source = self.root / "src" / "notebook.ipynb"
            command = [self.python, HERE / "notebook.py", source, self.executed]
        else:
            source = self.root / "src" / "script.py"
            command = [self.python, source]
        source.write_text(self.text, encoding="utf-8")
        before = _sandboxed(self._namespaces, self.internet, self.root / "input")
        return [*before, *(str(part) for part in command)]

    def _environment(self) -> dict[str, str]:
        for name in ("home", "tmp"):
            (self._own / name).mkdir()
        return {
            "PATH": f"{self.python.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._own / "home"),
            "TMPDIR": str(self._own / "tmp"),
            "LANG": "C.UTF-8",
            "KAGGLE_KERNEL_RUN_TYPE": "Batch",
            "PODIUM_KAGGLE_ROOT": str(self.root),
            "KAGGLE_STAND_IN_INTERNET": "1" if self.internet else "0",
            **self.environment,
        }
