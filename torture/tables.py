"""Tables and recipes that are not as they should be: each works, or says what to do about it.

`python -m torture.tables`: training tables, sample submissions, submissions and truths in every
form that spreadsheets and hands give them, classes without images, names in Unicode's two forms;
then a recipe with every key wrong in turn. An error is right if it is a ValueError of one line that
names the file, shows what came, and has a verb that says what to do.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from torture import wrong_layouts, wrong_tables
from torture.figures import Figure, main
from torture.wrong_recipes import complaint, every_key, every_wrong_recipe, wrong_names
from torture.wrong_tables import Trial

TO_DO = re.compile(
    r"\b(save|unpack|write|delete|rename|keep|give|put|mend|fill|take|remove|leave|get|make)\b",
    re.I,
)
LONGEST = 700  # characters of a message
EVERY = 4  # wrong recipes, of which the sample tries one


def campaign(quick: bool, scratch: Path) -> list[Figure]:
    read, refused = [], []
    for trial in _trials(scratch):
        (read if trial.shown is None else refused).append((trial.what, judged(trial)))
    recipe = scratch / "recipe.toml"
    recipes = list(every_wrong_recipe())[:: EVERY if quick else 1]
    keys = [(wrong.what, complaint(wrong, recipe)) for wrong in recipes]
    keys += wrong_names(scratch)
    tried = {one.key for one in recipes} & set(every_key())
    left = sorted(set(every_key()) - tried)
    return [
        _unsaid("harmless differences that are not read", read),
        _unsaid("wrong tables without an error that says what to do", refused),
        _unsaid("wrong keys of recipes without such an error", keys),
        Figure("keys of recipes that were wrong in turn", len(tried)),
        Figure("keys of recipes that were not", len(left), "= 0", ", ".join(left[:5])),
    ]


def _trials(scratch: Path) -> Iterator[Trial]:
    yield from wrong_tables.trials(scratch / "tables")
    yield from wrong_layouts.trials(scratch / "layouts")


def judged(trial: Trial) -> str:
    """What is wrong with how a trial ends; "" if nothing."""
    try:
        result = trial.read()
    except ValueError as error:
        message = str(error)
    except Exception as error:  # whatever else it is, it is a finding
        return f"{type(error).__name__}: {error}"
    else:
        if trial.shown is not None:
            return f"was taken: {str(result)[:200]}"
        return "" if result == trial.result else f"came {result!r}, not {trial.result!r}"
    lacks = {
        "no error": trial.shown is not None,
        f"the path {trial.path}": str(trial.path) in message,
        f"what came, {trial.shown!r}": (trial.shown or "") in message,
        "what to do": TO_DO.search(message.replace(str(trial.path), "")),
        "one line": "\n" not in message and len(message) <= LONGEST,
    }
    absent = [what for what, there in lacks.items() if not there]
    return f"{message[:400]!r} lacks {', '.join(absent)}" if absent else ""


def _unsaid(what: str, outcomes: list[tuple[str, str]]) -> Figure:
    bad = [f"{name}: {problem}" for name, problem in outcomes if problem]
    note = "; ".join([f"of {len(outcomes)}", *bad[:5]])
    return Figure(what, len(bad), "= 0", note)


if __name__ == "__main__":
    main(campaign)
