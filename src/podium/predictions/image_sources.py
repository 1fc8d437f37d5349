"""What a user names, as images: files, those of a folder, addresses on the web."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from podium.competitions.base import IMAGE_ENDINGS, images_in
from podium.data.batches import shrink
from podium.files.image_io import SizedImage, UnreadableImage, decode_sized, read_bytes
from podium.predictions.image_download import fetch_image

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """An image that is still to be read, by the name that the user gave it."""

    name: str
    problem: str = ""  # why there is none

    def read(self, side: int) -> SizedImage:
        """The image, its shorter side at most `side` pixels, and the size that it had.

        Raises:
            UnreadableImage: it cannot be read or fetched; the message begins with its name.
        """
        if self.problem:
            raise UnreadableImage(f"{self.name}: {self.problem}")
        if ADDRESS.match(self.name):
            found = fetch_image(self.name, side)
        else:
            path = Path(self.name)
            found = decode_sized(read_bytes(path), str(path), side)
        return replace(found, pixels=shrink(found.pixels, side))


def find_sources(words: Sequence[str | Path]) -> list[Source]:
    """The images that are meant, in the order of the words; those of a folder sorted.

    A folder gives its own image files, by their endings: not other files, and not those of
    folders in it.
    """
    found: list[Source] = []
    for word in map(str, words):
        if ADDRESS.match(word) or not Path(word).is_dir():
            found.append(Source(word))
            continue
        try:
            files = [Source(str(path)) for path in images_in(Path(word)) if path.is_file()]
        except OSError as error:
            files = [Source(word, f"the folder cannot be read ({error.strerror})")]
        endings = ", ".join(sorted(IMAGE_ENDINGS))
        found += files or [Source(word, f"there is no image file in this folder ({endings})")]
    return found
