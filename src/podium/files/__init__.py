"""Files: decoded, unpacked, written whole or not at all, and not trusted."""
