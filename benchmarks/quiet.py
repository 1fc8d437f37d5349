"""TensorFlow, imported without its notes: whoever needs it imports this first."""

from podium.system import import_tensorflow

import_tensorflow()
