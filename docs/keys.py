"""The table of keys in docs/recipes.md, made anew from the recipe: `python docs/keys.py`."""

import re
from pathlib import Path

from podium.recipes.keys import key_table

PAGE = Path(__file__).with_name("recipes.md")
TABLE = re.compile(r"(?<=<!-- by docs/keys.py -->\n).*?(?=\n<!-- end -->)", re.DOTALL)

if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: key_table(), PAGE.read_text("utf-8")), "utf-8")
