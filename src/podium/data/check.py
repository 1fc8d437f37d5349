"""A look at every image before hours of training: which are broken, and fingerprints of all."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from podium.data.near_duplicates import THUMBNAIL_SIDE, fingerprint
from podium.files.image_io import UnreadableImage, decode_sized, read_bytes

UNREADABLE = {"width": 0, "height": 0, "thumbnail": None, "small": False}


def check_images(paths: pd.Series) -> pd.DataFrame:
    """Decode every image once, on all cores.

    Args:
        paths: image files, indexed by id.

    Returns:
        Indexed as `paths`. problem: str, "" or why the image is unreadable; width and height:
        int64 pixels; thumbnail and small: see `duplicates.Fingerprint`. An unreadable image has
        0 in place of numbers, and None.
    """
    with ThreadPoolExecutor() as pool:  # Pillow and OpenCV release the lock
        checks = pool.map(_check, paths)
        rows = list(tqdm(checks, "checking images", len(paths), unit=" images", delay=2))
    columns = ["problem", *UNREADABLE]
    checked = pd.DataFrame(rows, index=paths.index, columns=columns)
    sides = {"width": "int64", "height": "int64"}
    return checked.astype({"problem": str, **sides, "thumbnail": object, "small": bool})


def _check(path: Path | str) -> dict[str, Any]:
    try:
        # All bytes of a JPEG are gone through at an eighth of its size, too.
        image = decode_sized(read_bytes(Path(path)), str(path), THUMBNAIL_SIDE)
    except UnreadableImage as error:
        return {"problem": str(error), **UNREADABLE}
    sides = {"width": image.size.width, "height": image.size.height}
    return {"problem": "", **sides, **fingerprint(image.pixels)._asdict()}
