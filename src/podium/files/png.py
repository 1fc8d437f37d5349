"""The checksums of a PNG, which Pillow does not look at: what was altered came out as noise."""

import zlib

START = b"\x89PNG\r\n\x1a\n"
CHECKED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")  # what the pixels come from


def check_png(data: bytes) -> None:
    """Raises ValueError where a PNG's pixels are not those that were written; any other passes."""
    at, view = len(START), memoryview(data)
    if not data.startswith(START):
        return
    # Chunk after chunk: length, kind, content, checksum of the two.
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if end + 4 > len(data):
            return  # truncated, or broken between the chunks: for the decoder to say
        whole = zlib.crc32(view[at + 4 : end]) == int.from_bytes(data[end : end + 4], "big")
        if kind in CHECKED and not whole:
            raise ValueError(f"the checksum of its {kind.decode()} at byte {at} is wrong")
        at = end + 4
