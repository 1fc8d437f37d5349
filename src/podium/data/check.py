"""A look at every picture before hours of training: which are broken, and fingerprints of all."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from podium.data.near_duplicates import THUMBNAIL_SIDE, fingerprint
from podium.files.images import UnreadablePicture, decode_sized, read_bytes

UNREADABLE = {"width": 0, "height": 0, "thumbnail": None, "small": False}


def check_pictures(paths: pd.Series) -> pd.DataFrame:
    """Decode every picture once, on all cores.

    Args:
        paths: picture files, indexed by id.

    Returns:
        Indexed as `paths`. problem: str, "" or why the picture is unreadable; width and height:
        int64 pixels; thumbnail and small: see `duplicates.Fingerprint`. An unreadable picture has
        0 in place of numbers, and None.
    """
    with ThreadPoolExecutor() as pool:  # Pillow and OpenCV release the lock
        checks = pool.map(_check, paths)
        rows = list(tqdm(checks, "checking pictures", len(paths), unit=" pictures", delay=2))
    columns = ["problem", *UNREADABLE]
    checked = pd.DataFrame(rows, index=paths.index, columns=columns)
    sides = {"width": "int64", "height": "int64"}
    return checked.astype({"problem": str, **sides, "thumbnail": object, "small": bool})


def _check(path: Path | str) -> dict[str, Any]:
    try:
        # All bytes of a JPEG are gone through at an eighth of its size, too.
        picture = decode_sized(read_bytes(Path(path)), str(path), THUMBNAIL_SIDE)
    except UnreadablePicture as error:
        return {"problem": str(error), **UNREADABLE}
    sides = {"width": picture.size.width, "height": picture.size.height}
    return {"problem": "", **sides, **fingerprint(picture.pixels)._asdict()}
