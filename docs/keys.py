"""The table of keys in docs/recipes.md, made anew from the recipe: `python docs/keys.py`."""

import re
from pathlib import Path

from podium.recipes.keys import recipe_keys

PAGE = Path(__file__).with_name("recipes.md")
TABLE = re.compile(r"(?<=<!-- by docs/keys.py -->\n).*?(?=\n<!-- end -->)", re.DOTALL)


def key_table() -> str:
    """The keys as a table of Markdown."""
    rows = [("key", "default", "takes", "meaning"), ("---",) * 4]
    for key in recipe_keys():
        rows.append((f"`{key.name}`", key.default and f"`{key.default}`", key.allowed, key.meaning))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: key_table(), PAGE.read_text("utf-8")), "utf-8")
