"""Run as a script: Podium's commands on a Ray cluster of two nodes on the loopback interface.

It belongs into a network namespace of its own, and works without one. It prints what it does, ends
with 0 when every command did, with 75 where Ray did not start, and leaves the commands' output as
NAME.log in the current folder, which is a project.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

HEAD, SECOND, PORT = "127.0.0.1", "127.0.0.2", 6399
ADDRESS = f"{HEAD}:{PORT}"
PATIENCE = 120.0  # seconds for Ray to start: on two busy cores it can miss a timeout of its own
LONGEST = 900.0  # seconds of a command
NOT_STARTED = 75
PODIUM = Path(sys.executable).with_name("podium")
NODES = (
    f"import ray; ray.init('{ADDRESS}', logging_level='ERROR'); print(len(ray.nodes()), 'nodes')"
)


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def start(host: str) -> subprocess.Popen:
    """A node of one CPU, which ends with the process that this gives."""
    joins = ["--head", f"--port={PORT}", "--include-dashboard=false"]
    joins = joins if host == HEAD else [f"--address={ADDRESS}"]
    words = [f"--node-ip-address={host}", "--num-cpus=1", "--object-store-memory=200000000"]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *joins, *words]
    with Path(f"node-{host}.log").open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def stop(node: subprocess.Popen) -> None:
    """End a node's processes, and none of anybody else's."""
    below = psutil.Process(node.pid).children(recursive=True) if node.poll() is None else []
    for process in (node, *below):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    node.wait()


def has_started() -> bool:
    try:
        words = [sys.executable, "-c", NODES]
        return "2 nodes" in subprocess.run(words, capture_output=True, text=True, timeout=60).stdout
    except subprocess.TimeoutExpired:
        return False


def started() -> list[subprocess.Popen]:
    """Both nodes; it ends the script where Ray does not start in time."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        nodes = [start(HEAD)]
        time.sleep(8)
        nodes.append(start(SECOND))
        for _ in range(4):
            if has_started():
                return nodes
        say("Ray did not start: once more")
        for node in nodes:
            stop(node)
    sys.exit(NOT_STARTED)


def podium(name: str, *words: str, when: str = "", do: Callable = lambda process: None) -> int:
    """Run a command on the cluster; once it has printed something, do something to it."""
    say(f"podium {' '.join(words)} --ray {ADDRESS}")
    log = Path(f"{name}.log")
    with log.open("w") as file:
        command = [PODIUM, *words, "--ray", ADDRESS]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    end, done = time.monotonic() + LONGEST, not when
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
        if not done and any(when in line and SECOND in line for line in log.open()):
            done = True
            do(process)
    process.kill()
    say(f"ended with {process.wait()}")
    print(log.read_text(errors="replace"), flush=True)
    return process.returncode


def main() -> None:
    # In the background it is ignored, and a command would go on through a Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    head, second = started()
    say("two nodes of one CPU each")

    def kill_raylet(process: subprocess.Popen) -> None:
        for one in psutil.Process(second.pid).children(recursive=True):
            if one.name() == "raylet":
                say(f"SIGKILL for the raylet of {SECOND}")
                one.kill()

    def interrupt(process: subprocess.Popen) -> None:
        say("Ctrl-C")
        process.send_signal(signal.SIGINT)

    codes = [podium("killed", "train", "tiny", "--run", "killed", when="epoch 3 ", do=kill_raylet)]
    stop(second)
    second = start(SECOND)
    for _ in range(3):
        if has_started():
            break
    words = "train", "tiny", "--run", "stopped"
    codes.append(podium("stopped", *words, when="is finished", do=interrupt) - 130)
    codes.append(podium("went-on", *words))
    codes.append(podium("compared", "compare", "tiny", "--try", "head.width=8,16", "--fold", "0"))
    codes.append(podium("predicted", "predict", "killed"))
    tried = "--trials", "3", "--search", "stages.0.learning_rate=0.001:0.02:log"
    codes.append(podium("tuned", "tune", "tiny", *tried))
    for node in (second, head):
        stop(node)
    say(f"exit codes {codes}")
    sys.exit(any(codes))


if __name__ == "__main__":
    main()
