"""Every image of a folder read in a process of its own, whose memory is measured.

`python -m robustness.reader FOLDER RESULTS` writes RESULTS/<file>.npy, and problems.json: why a
file gives none.
"""

import json
import sys
from pathlib import Path

import numpy as np

from podium.data.near_duplicates import fingerprint
from podium.files.image_io import UnreadableImage, decode_sized, read_bytes, read_image
from podium.system import peak_memory

LARGE = 100_000_000  # values; beyond it only whether it is read counts
SMALL = 16  # pixels, of the shorter side of an image that is decoded smaller


def main() -> None:
    folder, results = map(Path, sys.argv[1:])
    problems = {}
    for path in sorted(folder.iterdir()):
        try:
            image = read_image(path)
            fingerprint(image)
            sides = image.shape[:2]
            if image.size < LARGE:
                np.save(results / f"{path.name}.npy", image)
            del image
            read_image(path, SMALL)
            sized = decode_sized(read_bytes(path), str(path), SMALL)
        except UnreadableImage as error:
            problems[path.name] = str(error)
        except Exception as error:  # whatever else it is, it is a finding
            problems[path.name] = f"{type(error).__name__} instead of UnreadableImage: {error}"
        else:
            if (sized.size.height, sized.size.width) != sides:
                problems[path.name] = f"of another size than it says: {sized.size}, {sides}"
    about = {"peak": peak_memory() / 1e6, "problems": problems}
    (results / "problems.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main()
