"""The Python that kernels run with: Kaggle's packages, none of what Kaggle's images lack."""

import atexit
import functools
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# What Kaggle's images do not have; and editable installs, which lie outside site-packages.
LACKING = re.compile(r"(podium|efficientnet|keras_applications)([-.].*)?|_*editable__.*", re.I)
# What the image for TPUs does not have besides, by the list of its packages and of theirs
# (Kaggle/docker-python, tpu/requirements.in, read on 2026-11-28).
LACKING_FOR_TPU = re.compile(
    r"(typer|shellingham|annotated_doc|(python_)?slugify|text_unidecode|optuna|detect_secrets|kaggle)"
    r"([-.].*)?",
    re.I,
)

OFFLINE = Path(__file__).with_name("offline.py")


@functools.cache
def clean_environment(for_tpu: bool) -> Path:
    """The Python of the clean environment of this interpreter, made once and kept till it ends."""
    folder = Path(tempfile.mkdtemp(prefix="kaggle-python-"))
    atexit.register(shutil.rmtree, folder)
    return make_environment(folder, Path(sys.executable), for_tpu)


def make_environment(folder: Path, python: Path, for_tpu: bool) -> Path:
    """Make an environment with the packages of another; returns its Python.

    Its site-packages holds links to those of the other, so that it is made in no time.
    """
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    made = folder / "bin" / "python"
    site = _site_packages(made)[0]
    for source in _site_packages(python):
        for entry in source.iterdir():
            link = site / entry.name
            is_lacking = LACKING.fullmatch(entry.name) or (
                for_tpu and LACKING_FOR_TPU.fullmatch(entry.name)
            )
            if not is_lacking and not link.exists():
                link.symlink_to(entry)
    # A .pth file and no sitecustomize.py: some systems have one of that name, which comes first.
    shutil.copy(OFFLINE, site / "kaggle_stand_in_offline.py")
    (site / "kaggle_stand_in_offline.pth").write_text("import kaggle_stand_in_offline\n")
    return made


def _site_packages(python: Path) -> list[Path]:
    """The folders in which a Python finds what is installed, best first."""
    code = (
        "import json, site, sysconfig; print(json.dumps([sysconfig.get_path('purelib'), "
        "sysconfig.get_path('platlib'), *site.getsitepackages()]))"
    )
    answer = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True)
    folders = [Path(name) for name in dict.fromkeys(json.loads(answer.stdout))]
    return [folder for folder in folders if folder.is_dir()]
