"""A look at every picture before hours of training: which are broken, and fingerprints of all."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from podium.images.duplicates import fingerprint
from podium.images.reading import UnreadablePicture, read_picture

UNREADABLE = {"width": 0, "height": 0, "hash": 0, "mirrored_hash": 0, "thumbnail": None}


def check_pictures(paths: pd.Series) -> pd.DataFrame:
    """Decode every picture once, on all cores.

    Args:
        paths: picture files, indexed by id.

    Returns:
        Indexed as `paths`. problem: str, "" or why the picture is unreadable; width and height:
        int64 pixels; hash, mirrored_hash: uint64; thumbnail: a uint8 array, see
        `duplicates.Fingerprint`. An unreadable picture has 0 in place of numbers, and None.
    """
    with ThreadPoolExecutor() as pool:  # Pillow and OpenCV release the lock
        checks = pool.map(_check, paths)
        rows = list(tqdm(checks, "checking pictures", len(paths), unit=" pictures", delay=2))
    columns = ["problem", *UNREADABLE]
    checked = pd.DataFrame(rows, index=paths.index, columns=columns)
    numbers = {"width": "int64", "height": "int64", "hash": "uint64", "mirrored_hash": "uint64"}
    return checked.astype({"problem": str, **numbers, "thumbnail": object})


def _check(path: Path | str) -> dict[str, Any]:
    try:
        picture = read_picture(Path(path))
    except UnreadablePicture as error:
        return {"problem": str(error), **UNREADABLE}
    height, width = picture.shape[:2]
    return {"problem": "", "width": width, "height": height, **fingerprint(picture)._asdict()}
