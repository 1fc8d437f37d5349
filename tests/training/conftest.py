"""What the tests of trainings share: a few drawn images."""

import pytest
from small_training import draw

from podium.training.datasets import FoldDataset


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> FoldDataset:
    return draw(tmp_path_factory.mktemp("images"))
