"""A built kernel: one file, the same from the same sources, that brings Podium and runs."""

import ast
import base64
import io
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from podium.files.payload import PACKAGE
from podium.kaggle.build import LIMIT, KernelBuild, build, build_entries
from podium.kaggle.kernel import BuildError, Kernel
from podium.kaggle.metadata import MetadataError
from podium.recipes.recipe_file import RecipeError
from small_competitions import RECIPE, make_project, write_entry

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the entry `tiny`, a script, and `book`, a notebook."""
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, "sample")
    write_entry(tmp_path, "book", RECIPE.format(competition="sample"), kernel_type="notebook")
    return tmp_path


def constant(built: KernelBuild, name: str) -> str:
    """The value of a constant of a built script."""
    for node in ast.parse(built.code.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"no constant {name}")


def run(code: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code where neither podium nor the packages that it carries can be imported."""
    bare = folder / "bare"
    bare.mkdir(exist_ok=True)
    hide = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; "
    path = folder / "run.py"
    path.write_text(code.read_text() if isinstance(code, Path) else code)
    command = f"{hide} exec(compile(open({str(path)!r}).read(), 'kernel.py', 'exec'))"
    environment = {"PATH": os.environ["PATH"], "HOME": str(bare), "TMPDIR": str(bare)}
    return subprocess.run(
        [sys.executable, "-I", "-c", command], capture_output=True, text=True, env=environment
    )


def test_the_folder_is_what_the_client_pushes(project: Path) -> None:
    built = build(Kernel("tiny"), "someone")
    assert built.folder == project / "build" / "tiny"
    names = {path.name for path in built.folder.iterdir()}
    assert names == {"kernel.py", "kernel-metadata.json"}
    about = json.loads((built.folder / "kernel-metadata.json").read_text())
    assert about["id"] == "someone/podium-tiny"
    assert about["enable_internet"] is False
    assert built.code.stat().st_size < LIMIT
    assert "OWNER" not in str(built)


def test_without_credentials_the_owner_is_left_open_and_said() -> None:
    built = build(Kernel("tiny"))
    assert built.metadata.id == "OWNER/podium-tiny"
    assert "--owner" in str(built)


def test_the_same_sources_give_the_same_bytes(project: Path) -> None:
    builds = [build(Kernel(entry), "someone") for entry in ("tiny", "book")]
    first = {path: path.read_bytes() for path in (project / "build").glob("*/*")}
    recipe = project / "kernels" / "tiny" / "recipe.toml"
    os.utime(recipe, (0, 0))
    shutil.rmtree(project / "build")
    code = (
        "from podium.kaggle.build import build_entries as b; list(b(['tiny', 'book'], 'someone'))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert {path: path.read_bytes() for path in (project / "build").glob("*/*")} == first

    recipe.write_text(recipe.read_text() + "seed = 1\n")
    assert build(Kernel("tiny"), "someone").sources != builds[0].sources


def test_nothing_of_an_earlier_build_stays() -> None:
    built = build(Kernel("tiny"))
    (built.folder / "kernel.ipynb").write_text("old")
    build(Kernel("tiny"))
    assert {path.name for path in built.folder.iterdir()} == {"kernel.py", "kernel-metadata.json"}


def test_a_fold_and_changes_of_the_recipe_have_a_kernel_of_their_own() -> None:
    built = build(Kernel("tiny", overrides=["seed=3"], fold=1), "someone")
    assert built.folder.name == "tiny-seed-3-fold-1"
    assert built.metadata.id == "someone/podium-tiny-seed-3-fold-1"
    assert constant(built, "ARGUMENTS") == ["--set", "seed=3", "--fold", "1"]


def test_what_cannot_run_is_not_built(project: Path) -> None:
    with pytest.raises(ValueError, match="fold 2: this recipe has the folds 0 to 1"):
        build(Kernel("tiny", fold=2))
    with pytest.raises(RecipeError, match="did you mean image_size"):
        build(Kernel("tiny", overrides=["imagesize=3"]))
    with pytest.raises(ValueError, match="no entry 'small'"):
        build(Kernel("small"))
    assert not (project / "build").exists()


def test_the_description_of_a_competition_is_carried(project: Path) -> None:
    plain = build(Kernel("tiny"), "someone").sources
    written = 'name = "mine"\nfolder = "mine"\nclasses = ["a", "b"]\n'
    (project / "kernels" / "tiny" / "competition.toml").write_text(written)
    built = build(Kernel("tiny"), "someone")
    assert built.sources != plain
    payload = lzma.decompress(base64.b85decode(constant(built, "PAYLOAD")))
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        assert archive.read("kernels/tiny/competition.toml").decode() == written


def test_too_large_a_kernel_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podium.kaggle.build.LIMIT", 10_000)
    with pytest.raises(BuildError, match=r"would have \d{3},\d{3} bytes, Kaggle takes 10,000"):
        build(Kernel("tiny"))
    assert not (project / "build").exists()


def test_every_entry_of_the_repository_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in them passes for a secret."""
    monkeypatch.setattr("podium.paths.entries", lambda: REPOSITORY / "kernels")
    names = {each.metadata.id for each in build_entries([], owner="someone")}
    assert {f"someone/podium-{entry}" for entry in ("cars-b6", "intel-b6", "sample-b0")} <= names


def test_it_carries_podium_and_what_kaggle_lacks(project: Path) -> None:
    built = build(Kernel("tiny"), "someone")
    code = built.code.read_text().split("from podium.kaggle.kernel_start")[0]
    code += (
        "import importlib.util, importlib.metadata\n"
        "for name in ('podium', 'efficientnet', 'keras_applications'):\n"
        "    print(name, importlib.util.find_spec(name).origin)\n"
        "print([importlib.metadata.version(n) for n in ('podium', 'efficientnet')])\n"
        "print(sys.argv, os.environ['PODIUM_SOURCES'])\n"
        "from podium import paths\n"
        "print(paths.entries(), [p.name for p in paths.entries().iterdir()])\n"
    )
    done = run(code, project)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    commit = constant(built, "COMMIT") or "none"
    assert lines[0] == f"Podium of commit {commit}, sources {built.sources}"
    for line, name in zip(
        lines[1:4], ("podium", "efficientnet", "keras_applications"), strict=True
    ):
        assert re.fullmatch(rf"{name} {project}/bare/podium-kernel-\w+/{name}/__init__\.py", line)
    assert lines[4] == "['0.1.0', '1.1.1']"
    assert lines[5] == f"['kernel.py'] {built.sources}"
    assert lines[6].endswith("/kernels ['tiny']")


def test_a_kernel_for_a_tpu_computes_with_jax_and_carries_what_lacks_there(project: Path) -> None:
    built = build(Kernel("tiny", on="tpu"), "someone")
    about = json.loads((built.folder / "kernel-metadata.json").read_text())
    assert about["machine_shape"] == "TpuV5E8"
    assert "(TPU v5e-8)" in str(built) and built.code.stat().st_size < LIMIT
    code = built.code.read_text().split("from podium.kaggle.kernel_start")[0]
    code += (
        "from pathlib import Path\n"
        "import importlib.metadata, importlib.util\n"
        "print(os.environ['KERAS_BACKEND'])\n"
        "for name in ('typer', 'shellingham', 'annotated_doc', 'efficientnet'):\n"
        "    print(importlib.util.find_spec(name).origin, importlib.metadata.version(name))\n"
        "print(Path(sys.path[0], 'podium/kaggle/kernel_start.json').read_text())\n"
    )
    done = run(code, project)
    assert done.returncode == 0, done.stderr
    _, backend, *carried, start = done.stdout.split("\n", 6)
    assert backend == "jax"
    assert all(f"{project}/bare/podium-kernel-" in origin for origin in carried)
    assert json.loads(start)["hours"] == 8.8, "Kaggle ends it after 9"
    assert json.loads(start)["minutes"] == 510

    assert constant(build(Kernel("tiny"), "someone"), "BACKEND") == "tensorflow"
    assert "typer/main.py" not in _names(build(Kernel("tiny"), "someone"))


def _names(built: KernelBuild) -> list[str]:
    """The files that a kernel carries."""
    packed = lzma.decompress(base64.b85decode(constant(built, "PAYLOAD")))
    return zipfile.ZipFile(io.BytesIO(packed)).namelist()


@pytest.mark.parametrize(
    "change",
    [
        lambda code: code.replace('PAYLOAD = (\n"{W', 'PAYLOAD = (\n"{X'),
        lambda code: re.sub(r'SOURCES = "..', 'SOURCES = "zz', code),
        lambda code: re.sub(r"PAYLOAD = \(.*?\n\)", 'PAYLOAD = ""', code, flags=re.DOTALL),
    ],
    ids=["a letter", "the hash", "emptied"],
)
def test_an_altered_payload_is_not_run(project: Path, change) -> None:
    code = build(Kernel("tiny")).code.read_text()
    altered = change(code)
    assert altered != code
    done = run(altered, project)
    assert done.returncode != 0
    assert "the payload of this kernel was altered" in done.stderr
    assert not list((project / "bare").glob("podium-kernel-*"))


def test_an_old_python_is_told(project: Path) -> None:
    code = build(Kernel("tiny")).code.read_text()
    older = code.replace("import sys\n", "import sys\nsys.version_info = (3, 10, 12)\n", 1)
    done = run(older, project)
    assert done.returncode != 0
    assert "Podium needs 3.11 or newer" in done.stderr
    ast.parse(code, feature_version=(3, 7))


def test_a_notebook_is_a_real_one(project: Path) -> None:
    built = build(Kernel("book", overrides=["seed=3"]), "someone")
    notebook = nbformat.read(built.code, as_version=4)
    nbformat.validate(notebook)
    kinds = "".join(cell.cell_type[0] for cell in notebook.cells)
    assert kinds == "mmcmmcmc"  # markdown and code
    assert "--set seed=3" in notebook.cells[0].source
    assert 'backbone = "resnet-8"' in notebook.cells[3].source
    assert 'app(["train", "book"' in notebook.cells[5].source
    assert 'find_run("book-seed-3")' in notebook.cells[7].source
    assert built.metadata.code_file == "kernel.ipynb"


def test_a_notebook_runs_what_was_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that begins with >>> is a prompt to IPython, which cuts it."""
    monkeypatch.setattr("podium.kaggle.build.base64.b85encode", lambda packed: b">" * 300)
    notebook = nbformat.read(build(Kernel("book")).code, as_version=4)
    (code,) = (cell.source for cell in notebook.cells if "PAYLOAD" in cell.source)
    assert ">" * 100 in code
    assert TransformerManager().transform_cell(code).rstrip() == code.rstrip()


def test_the_commit_is_that_of_the_packed_sources(project: Path) -> None:
    """So that a commit that changes nothing of the kernel changes no byte of it."""
    words = ["git", "-C", str(PACKAGE), "log", "-1", "--format=%H", "--", str(PACKAGE)]
    last = subprocess.run(words, capture_output=True, text=True).stdout.strip()
    assert build(Kernel("tiny")).commit.removesuffix("+") == last


def test_a_run_that_labels_test_images_must_be_attached(project: Path) -> None:
    stage = (
        '{{ unfreeze = "all", epochs = 1, learning_rate = 0.001, pseudo = {{ from = "tiny" }} }}'
    )
    recipe = re.sub(r"stages = .*", f"stages = [{stage}]", RECIPE).format(competition="sample")
    write_entry(project, "taught", recipe)
    with pytest.raises(
        MetadataError, match=r"kernel_sources: the run tiny is missing: add 'OWNER/podium-tiny'"
    ):
        build(Kernel("taught"))
    write_entry(project, "taught-2", recipe, kernel_sources=["OWNER/podium-tiny"])
    built = build(Kernel("taught-2", overrides=["stages.0.pseudo.above=0.9"]), "someone")
    assert built.metadata.kernel_sources == ["someone/podium-tiny"]
    assert constant(built, "ARGUMENTS") == ["--set", "stages.0.pseudo.above=0.9"]
    with pytest.raises(MetadataError, match="the run other is missing"):
        build(Kernel("taught-2", overrides=["stages.0.pseudo.from=other"]))


def test_a_run_to_start_from_must_be_attached_and_need_not_be_here(project: Path) -> None:
    with pytest.raises(
        MetadataError, match=r"kernel_sources: the run dogs is missing: add 'OWNER/podium-dogs'"
    ):
        build(Kernel("tiny", overrides=["backbone=run:weights/dogs"]))
    recipe = RECIPE.format(competition="sample")
    write_entry(project, "started", recipe, kernel_sources=["OWNER/podium-dogs"])
    built = build(Kernel("started", overrides=["backbone=run:weights/dogs"], fold=1), "someone")
    assert built.metadata.kernel_sources == ["someone/podium-dogs"]
    assert "backbone=run:weights/dogs" in constant(built, "ARGUMENTS")
