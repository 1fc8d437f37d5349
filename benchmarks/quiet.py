"""TensorFlow, imported without its notes: whoever needs it imports this first."""

from podium.system import start_backend

start_backend()
