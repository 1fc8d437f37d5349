"""Run as a script by the kernel's Python: runs a notebook, printing what its cells print."""

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError


class PrintingClient(NotebookClient):
    """Lets the output of cells through as it comes."""

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] == "stream":
            stream = sys.stderr if msg["content"]["name"] == "stderr" else sys.stdout
            stream.write(msg["content"]["text"])
            stream.flush()
        return super().process_message(msg, cell, cell_index)


def main(source: Path, executed: Path) -> int:
    """Run a notebook in the working directory, and write it with its outputs."""
    notebook = nbformat.read(source, as_version=4)
    client = PrintingClient(notebook, kernel_name="python3", timeout=None)
    try:
        client.execute(cwd=str(Path.cwd()))
    except (CellExecutionError, DeadKernelError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        nbformat.write(notebook, executed)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
