"""The recipe: what it is without being told, what may be changed, and what is refused and how."""

import json
from pathlib import Path
from typing import Any

import pytest

from podium.recipes.recipe import Recipe
from podium.recipes.recipe_file import RecipeError, load_recipe, parse_recipe
from podium.recipes.tables import Stage

NEEDED = {"competition": "cars", "backbone": "efficientnet-b6"}
STAGE = {"unfreeze": "all", "epochs": 1, "learning_rate": 1e-3}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text('competition = "cars"\nbackbone = "efficientnet-b6"\n[head]\ndropout = 0.5\n')
    return path


def refusal(changes: dict[str, Any]) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**NEEDED, **changes}, source="here.toml")
    message = str(caught.value)
    assert message.startswith("here.toml: ")
    assert "\n" not in message
    return message.removeprefix("here.toml: ")


def test_the_default_stages_are_those_of_the_car_solution() -> None:
    stages = parse_recipe(NEEDED, "here").stages
    assert [stage.unfreeze for stage in stages] == ["head", "half", "all", "all"]
    assert [stage.epochs for stage in stages] == [5, 5, 5, 3]
    assert [stage.learning_rate for stage in stages] == [1e-3, 1e-4, 1e-5, 1e-5]
    assert [stage.image_size for stage in stages] == [None, None, None, 280]


@pytest.mark.parametrize(("size", "last"), [(64, 80), (224, 280), (1000, 1024), (1024, 1024)])
def test_the_last_default_stage_has_larger_images_within_the_bounds(size: int, last: int) -> None:
    recipe = parse_recipe({**NEEDED, "image_size": size}, "here")
    assert recipe.stage_size() == last


def test_stages_without_a_size_end_with_that_of_the_recipe() -> None:
    recipe = parse_recipe({**NEEDED, "image_size": 96, "stages": [STAGE]}, "here")
    assert recipe.stage_size() == 96


def test_a_recipe_survives_its_dump() -> None:
    recipe = parse_recipe({**NEEDED, "seed": 7, "shares": [0.8, 0.2]}, "here")
    assert parse_recipe(recipe.model_dump(), "there") == recipe


def test_a_recipe_cannot_be_changed_once_made() -> None:
    recipe = parse_recipe(NEEDED, "here")
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 1


# --- Overrides


def test_overrides_reach_everywhere_and_are_read_as_toml(file: Path) -> None:
    recipe = load_recipe(
        file,
        [
            "image_size=96",
            "optimizer=adamw",  # a bare word is a string
            'keep="last"',
            "head.taps=['block5f', 'top']",
            "augmentation.mirror=false",
            "one_cycle.momentum=[]",
            "clip_norm=1.5",
            "stages=[{unfreeze=3, epochs=2, learning_rate=1e-2}]",
        ],
    )
    assert recipe.image_size == 96
    assert recipe.optimizer == "adamw"
    assert recipe.keep == "last"
    assert recipe.head.taps == ["block5f", "top"]
    assert recipe.head.dropout == 0.5  # the file's
    assert recipe.augmentation.mirror is False
    assert recipe.one_cycle.momentum == []
    assert recipe.clip_norm == 1.5
    assert recipe.stages == [Stage(unfreeze=3, epochs=2, learning_rate=1e-2)]


def test_the_last_of_two_overrides_counts(file: Path) -> None:
    assert load_recipe(file, ["seed=1", "seed=2"]).seed == 2


def test_a_stage_is_overridden_in_a_recipe_that_has_stages(file: Path) -> None:
    stages = "[{epochs=3, learning_rate=1e-2}, {epochs=4, learning_rate=1e-3}]"
    recipe = load_recipe(file, [f"stages={stages}", "stages.1.epochs=9"])
    assert [stage.epochs for stage in recipe.stages] == [3, 9]
    assert recipe.stages[1].learning_rate == 1e-3


def test_a_stage_is_overridden_in_a_recipe_that_has_the_default_ones(file: Path) -> None:
    recipe = load_recipe(file, ["stages.0.epochs=2"])
    assert [stage.epochs for stage in recipe.stages] == [2, 5, 5, 3]


def test_default_stages_fit_the_overridden_size_in_whatever_order(file: Path) -> None:
    recipe = load_recipe(file, ["stages.0.epochs=2", "image_size=64"])
    assert recipe == load_recipe(file, ["image_size=64", "stages.0.epochs=2"])
    assert recipe.stage_size() == 80


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("image_size", "expected key=value"),
        ("=3", "expected key=value"),
        ("stages.4.epochs=1", "the recipe has no stages.4.epochs"),
        ("stages.first.epochs=1", "the recipe has no stages.first.epochs"),
        ("competition.name=cars", "the recipe has no competition.name"),
    ],
)
def test_an_override_that_leads_nowhere_is_refused(
    file: Path, override: str, expected: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, [override])
    assert f"--set {override}: {expected}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "overrides", "told"),
    [
        (
            "",
            ["image_size=big"],
            "--set image_size=big: image_size: came 'big', should be a valid integer",
        ),
        (
            "folds = 1.5",
            ["seed=1", "head.dropout=2"],
            "FILE: folds: came 1.5, should be a valid integer; "
            "--set head.dropout=2: head.dropout: came 2, should be less than 1",
        ),
        (
            "",
            ["stages=[{epochs=0, learning_rate=1}]", "seed=1"],
            "--set stages=[{epochs=0, learning_rate=1}]: stages.0.epochs: came 0, should be "
            "greater than or equal to 1",
        ),
        (
            "",
            ["head.droput=0.1"],
            "--set head.droput=0.1: head.droput: unknown key; did you mean head.dropout?",
        ),
        (
            "clip_norm = 1.0",
            ["clip_value=1.0", "seed=1"],
            "FILE with --set clip_value=1.0 --set seed=1: clip_norm and clip_value exclude each "
            "other: leave one out",
        ),
    ],
    ids=["value", "both", "table", "key", "pair"],
)
def test_a_refusal_blames_the_override_or_the_file(
    file: Path, text: str, overrides: list[str], told: str
) -> None:
    file.write_text(f"{text}\n{file.read_text()}")
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, overrides)
    assert str(caught.value) == told.replace("FILE", str(file))


# --- Refusals: each names the key, what came and what is allowed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1.0}, "seed: came 1.0, should be a valid integer"),
        ({"seed": "1"}, "seed: came '1', should be a valid integer"),
        ({"seed": True}, "seed: came True, should be a valid integer"),
        ({"head": {"dropout": "0.5"}}, "head.dropout: came '0.5', should be a valid number"),
        ({"head": 3}, "head: came 3, should be a valid dictionary or instance of Head"),
        ({"stages": [3]}, "stages.0: came 3, should be a valid dictionary or instance of Stage"),
        ({"mixed_precision": "yes"}, "mixed_precision: came 'yes', should be a valid boolean"),
        ({"optimizer": "lion"}, "optimizer: came 'lion', should be 'adam', 'adamw' or 'sgd'"),
    ],
)
def test_a_wrong_type_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refusal(changes) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 8}, "image_size: came 8, should be greater than or equal to 16"),
        ({"image_size": 2000}, "image_size: came 2000, should be less than or equal to 1024"),
        ({"folds": 1}, "folds: came 1, should be greater than or equal to 2"),
        ({"limit": 0}, "limit: came 0, should be greater than or equal to 1"),
        ({"time_budget": 0}, "time_budget: came 0, should be greater than 0"),
        ({"views": 11}, "views: came 11, should be less than or equal to 10"),
        ({"head": {"dropout": 1.0}}, "head.dropout: came 1.0, should be less than 1"),
        ({"head": {"depth": 0}}, "head.depth: came 0, should be greater than or equal to"),
        ({"stages": []}, "stages: came [], List should have at least 1 item"),
        ({"one_cycle": {"momentum": [0.9]}}, "one_cycle.momentum: came [0.9], needs two values"),
        ({"one_cycle": {"momentum": [0.9] * 3}}, "one_cycle.momentum: came [0.9, 0.9, 0.9], List"),
        ({"one_cycle": {"warmup": float("nan")}}, "one_cycle.warmup: came nan, should be"),
    ],
)
def test_what_is_out_of_bounds_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refusal(changes).startswith(message)


@pytest.mark.parametrize(
    ("unfreeze", "message"),
    [
        ("hed", "came 'hed', should be 'head', 'half' or 'all' or should be a valid integer"),
        (0, "came 0, should be 'head', 'half' or 'all' or should be greater than or equal to 1"),
    ],
)
def test_a_key_of_several_types_is_refused_in_one_clause(unfreeze: Any, message: str) -> None:
    assert refusal({"stages": [{**STAGE, "unfreeze": unfreeze}]}) == f"stages.0.unfreeze: {message}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimiser": "adam"}, "optimiser: unknown key; did you mean optimizer?"),
        ({"head": {"droput": 0}}, "head.droput: unknown key; did you mean head.dropout?"),
        ({"mirror": True}, "mirror: unknown key; did you mean augmentation.mirror?"),
        ({"stages": [STAGE, {**STAGE, "epoch": 1}]}, "did you mean stages.epochs?"),
        ({"head": {"qqqq": 1}}, "head.qqqq: unknown key; see docs"),
        ({"a.b": 1}, "a.b: unknown key"),
    ],
)
def test_an_unknown_key_is_refused_with_the_likely_one(
    changes: dict[str, Any], message: str
) -> None:
    assert message in refusal(changes)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([1.0], "shares must be two or three numbers that sum to 1, came [1.0]"),
        ([0.5, 0.4], "shares must be two or three numbers that sum to 1, came [0.5, 0.4]"),
        ([1.0, 0.0], "shares must be above 0, came [1.0, 0.0]"),
        ([0.25] * 4, "shares: came [0.25, 0.25, 0.25, 0.25], List should have at most 3 items"),
        ([1.5, -0.5], "shares.0: came 1.5, should be less than or equal to 1; shares.1: came -0.5"),
    ],
)
def test_shares_that_are_no_whole_are_refused(shares: list[float], message: str) -> None:
    assert message in refusal({"shares": shares})


@pytest.mark.parametrize("shares", [[], [0.7, 0.3], [0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3]])
def test_shares_that_are_a_whole_are_taken(shares: list[float]) -> None:
    assert parse_recipe({**NEEDED, "shares": shares}, "here").shares == shares


def test_every_mistake_is_named_at_once() -> None:
    message = refusal({"sed": 1, "views": 0, "head": {"pooling": "mean"}})
    assert message.count("; did you mean seed?") == 1
    assert "views: came 0" in message
    assert "head.pooling: came 'mean', should be 'average', 'max' or 'both'" in message


def test_a_missing_key_is_named() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"competition": "cars"}, source="here.toml")
    assert str(caught.value) == "here.toml: backbone: is missing; add it"


# --- Files


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value) == f"{path} cannot be read: No such file or directory"


@pytest.mark.parametrize(
    "content",
    [
        b"image_size = \n",
        b"\xff\xfe",
        b"seed = 1\nseed = 2\n",
        b"seed = " + b"9" * 5000,
        b"shares = " + b"[" * 5000,
    ],
    ids=["no value", "no text", "doubled key", "long number", "deep list"],
)
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match="is not valid TOML") as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_comes_is_shown_on_one_line_and_cut_short(file: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, ["no such\nkey"])
    assert str(caught.value).startswith(r"--set no such\nkey: expected key=value")
    for changes in ({"a\nb": 1}, {"weights": ["x" * 1000]}):
        assert len(refusal(changes)) < 1000


def test_a_file_needs_only_competition_and_backbone(file: Path) -> None:
    recipe = load_recipe(file)
    assert recipe.head.dropout == 0.5
    defaults = Recipe(**NEEDED)
    assert recipe.model_dump(exclude={"head"}) == defaults.model_dump(exclude={"head"})


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"sampling": "balanced"}, "do the same: leave one out"),
        ({"competition": "pets", "box": {}}, "beside a box head there is no class_weight"),
        (
            {
                "head": {"width": 0, "centers": 5},
                "cached_views": 1,
                "stages": [{"solver": "kernel"}],
            },
            "knows no class_weight",
        ),
    ],
)
def test_what_goes_with_class_weights(changes: dict, refused: str) -> None:
    data = {"competition": "cars", "backbone": "efficientnet-b0", "class_weight": "balanced"}
    parse_recipe(data, "FILE")
    with pytest.raises(RecipeError, match=refused):
        parse_recipe({**data, **changes}, "FILE")


def test_the_two_ways_to_clip_exclude_each_other() -> None:
    data = {"competition": "cars", "backbone": "efficientnet-b0", "clip_norm": 1.0}
    with pytest.raises(RecipeError, match="clip_norm and clip_value exclude each other"):
        parse_recipe({**data, "clip_value": 0.1}, source="recipe.toml")


# --- Heads that are solved


KERNEL = {"cached_views": 1, "head": {"width": 0, "centers": 9}, "stages": [{"solver": "kernel"}]}


def test_a_kernel_stage_needs_nothing_but_its_name() -> None:
    stage = parse_recipe({**NEEDED, **KERNEL}, "here").stages[0]
    assert (stage.unfreeze, stage.epochs) == ("head", 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": [{"solver": "kernel", "epochs": 3}]}, 'solver = "kernel" is for a head, and'),
        ({"stages": [{"solver": "kernel", "unfreeze": "all"}]}, 'solver = "kernel" is for a head'),
        ({"stages": [{"solver": "logistic", "epochs": 3}]}, 'solver = "logistic" is for a head'),
        ({"head": {"width": 0}}, "head.centers = 0 and solver = kernel"),
        ({"stages": [{"solver": "logistic"}]}, "head.centers = 9 and solver = logistic"),
        ({"stages": [{"solver": "kernel"}, STAGE]}, "in all stages; came head.centers = 9"),
        ({"head": {"centers": 9, "width": 8}}, "needs head.width = 0 and cached_views = 1, came 8"),
        ({"cached_views": 4}, "needs head.width = 0 and cached_views = 1, came 0 and 4"),
        ({"head": {"width": 0, "centers": -1}}, "head.centers: came -1, should be greater than"),
    ],
)
def test_a_kernel_where_it_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    assert message in refusal({**KERNEL, **changes})


# --- Pseudo-labels


def test_pseudo_labels_need_a_run_and_survive_the_dump_in_every_form() -> None:
    recipe = parse_recipe({**NEEDED, "stages": [STAGE, {**STAGE, "pseudo": {"from": "a"}}]}, "here")
    pseudo = recipe.stages[1].pseudo
    assert (pseudo.run, pseudo.above) == ("a", 0.98)
    assert recipe.stages[0].pseudo is None and recipe.pseudo_runs == ["a"]
    assert recipe.model_dump()["stages"][1]["pseudo"] == {"from": "a", "above": 0.98}
    unset = recipe.model_dump(exclude_unset=True)
    assert unset["stages"][1]["pseudo"] == {"from": "a"}, "as podium tune writes it"
    for dump in (recipe.model_dump(), unset, json.loads(recipe.model_dump_json())):
        assert parse_recipe(dump, "there") == recipe


def test_pseudo_labels_are_overridden_key_by_key(file: Path) -> None:
    file.write_text(
        file.read_text()
        + '[[stages]]\nepochs = 1\nlearning_rate = 0.1\npseudo = {from = "a-b.1"}\n'
    )
    assert load_recipe(file).stages[0].pseudo.run == "a-b.1"
    changed = load_recipe(file, ["stages.0.pseudo.above=0.9", "stages.0.pseudo.from=other"])
    assert changed.stages[0].pseudo.model_dump() == {"from": "other", "above": 0.9}


@pytest.mark.parametrize(
    ("pseudo", "message"),
    [
        ({}, "stages.0.pseudo.from: is missing"),
        (3, "stages.0.pseudo: came 3, should be a valid dictionary"),
        ({"from": "../a"}, "stages.0.pseudo.from: came '../a', String should match"),
        ({"from": 3}, "stages.0.pseudo.from: came 3, should be a valid string"),
        (
            {"from": "a", "above": 0.5},
            "stages.0.pseudo.above: came 0.5, should be greater than 0.5",
        ),
        ({"from": "a", "above": 1.1}, "stages.0.pseudo.above: came 1.1, should be less than or"),
        ({"from": "a", "abov": 1}, "abov: unknown key; did you mean stages.pseudo.above?"),
        (
            {"from": "a", "run": "b"},
            "stages.0.pseudo.run: unknown key; did you mean stages.pseudo.from?",
        ),
    ],
)
def test_wrong_pseudo_labels_are_refused(pseudo: Any, message: str) -> None:
    assert message in refusal({"stages": [{**STAGE, "pseudo": pseudo}]})


@pytest.mark.parametrize("key", ["backbone", "weights"])
def test_a_run_to_start_from_is_known_by_its_name(key: str) -> None:
    data = {"competition": "cars", "backbone": "vgg16"}
    assert parse_recipe(data, "here").started_from is None
    for text in ("run:a", "run:weights/a", "run:./weights/a/"):
        recipe = parse_recipe({**data, key: text}, "here")
        assert getattr(recipe, key) == "run:a" and recipe.started_from == "a"
        assert parse_recipe(recipe.model_dump(), "again") == recipe
    pseudo = [{"epochs": 1, "learning_rate": 1.0, "pseudo": {"from": name}} for name in "ba"]
    assert parse_recipe({**data, key: "run:a", "stages": pseudo}, "here").needed_runs == ["a", "b"]
    for text in ("run:/tmp/weights/a", "run:weights/a/b", "weights/a"):
        assert getattr(parse_recipe({**data, key: text}, "here"), key) == text
    with pytest.raises(RecipeError, match=f"here: {key}: came 'run:', needs the name of a run"):
        parse_recipe({**data, key: "run:"}, "here")


def test_two_runs_to_start_from_are_refused() -> None:
    data = {"competition": "cars", "backbone": "run:a"}
    assert parse_recipe({**data, "weights": "run:weights/a"}, "here").started_from == "a"
    with pytest.raises(RecipeError, match="name two runs, 'run:a' and 'run:b': leave weights out"):
        parse_recipe({**data, "weights": "run:b"}, "here")
