"""Run as a script: Podium's commands on a Ray cluster of two nodes on the loopback interface.

It belongs into a network namespace of its own, and works without one. It prints what it does, ends
with 0 when every command did, with 75 where Ray did not start, and leaves the commands' output as
NAME.log in the current folder, which is a project.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

HEAD, SECOND, PORT = "127.0.0.1", "127.0.0.2", 6399
ADDRESS = f"{HEAD}:{PORT}"
PATIENCE = 120.0  # seconds for Ray to start: on two busy cores it can miss a timeout of its own
LONGEST = 900.0  # seconds of a command
NOT_STARTED = 75
PODIUM = Path(sys.executable).with_name("podium")
Steps = Sequence[tuple[list[str], Callable[[subprocess.Popen], None]]]
COUNT = f"""
import ray
ray.init("{ADDRESS}", logging_level="ERROR")
print(sum(node["Alive"] for node in ray.nodes()), "nodes")
"""


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def start(host: str) -> subprocess.Popen:
    """A node of one CPU, which ends with the process that this gives."""
    joins = ["--head", f"--port={PORT}", "--include-dashboard=false"]
    joins = joins if host == HEAD else [f"--address={ADDRESS}"]
    words = [f"--node-ip-address={host}", "--num-cpus=1", "--object-store-memory=200000000"]
    # As on two machines; below /tmp, because the path of a socket is short.
    words.append(f"--temp-dir={tempfile.mkdtemp(prefix='ray-')}")
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


def has_started(count: int) -> bool:
    words = [sys.executable, "-c", COUNT]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return f"{count} nodes" in done.stdout


def started_head() -> subprocess.Popen:
    """The first node; it ends the script where Ray does not start in time."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        head = start(HEAD)
        time.sleep(8)
        for _ in range(4):
            if has_started(1):
                return head
        say("Ray did not start: once more")
        stop(head)
    sys.exit(NOT_STARTED)


def podium(name: str, *words: str, steps: Steps = ()) -> int:
    """Run a command on the cluster; a step waits for a line with its words, then acts."""
    say(f"podium {' '.join(words)} --ray {ADDRESS}")
    log, coming = Path(f"{name}.log"), list(steps)
    with log.open("w") as file:
        command = [PODIUM, *words, "--ray", ADDRESS]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    end = time.monotonic() + LONGEST
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
        for line in log.read_text(errors="replace").splitlines() if coming else ():
            if all(word in line for word in coming[0][0]):
                coming.pop(0)[1](process)
                break
    process.kill()
    say(f"ended with {process.wait()}")
    print(log.read_text(errors="replace"), flush=True)
    return process.returncode


def main() -> None:
    # In the background it is ignored, and a command would go on through a Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nodes = {HEAD: started_head()}
    say("one node of one CPU")

    def join(process: subprocess.Popen) -> None:
        # Later than the driver, which Ray may connect to any node of its machine.
        say(f"{SECOND} joins")
        nodes[SECOND] = start(SECOND)

    def kill_raylet(process: subprocess.Popen) -> None:
        for one in psutil.Process(nodes[SECOND].pid).children(recursive=True):
            if one.name() == "raylet":
                say(f"SIGKILL for the raylet of {SECOND}")
                one.kill()

    def interrupt(process: subprocess.Popen) -> None:
        say("Ctrl-C")
        process.send_signal(signal.SIGINT)

    both = [(["to the cluster"], join), (["epoch 3 ", SECOND], kill_raylet)]
    codes = [podium("killed", "train", "tiny", "--run", "killed", steps=both)]
    stop(nodes[SECOND])
    nodes[SECOND] = start(SECOND)
    say(f"two nodes: {any(has_started(2) for _ in range(4))}")
    words = "train", "tiny", "--run", "stopped"
    codes.append(podium("stopped", *words, steps=[(["is finished"], interrupt)]) - 130)
    codes.append(podium("went-on", *words))
    codes.append(podium("compared", "compare", "tiny", "--try", "head.width=8,16", "--fold", "0"))
    codes.append(podium("predicted", "predict", "killed"))
    tried = "--trials", "3", "--search", "stages.0.learning_rate=0.001:0.02:log"
    codes.append(podium("tuned", "tune", "tiny", *tried))
    for node in nodes.values():
        stop(node)
    say(f"exit codes {codes}")
    sys.exit(any(codes))


if __name__ == "__main__":
    main()
