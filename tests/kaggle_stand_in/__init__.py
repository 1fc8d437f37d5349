"""A stand-in for Kaggle: an HTTP server on 127.0.0.1 that the real `kaggle` client talks to.

    with StandIn(folder) as kaggle:
        kaggle.add_competition("cars", archive=Path("cars.zip"), truth=Path("truth.csv"))
        kaggle.add_dataset("someone/flowers", archive=Path("flowers.zip"))
        ...                              # the client, with PODIUM_KAGGLE_ENDPOINT=kaggle.url

It runs pushed kernels for real and offline below `folder`, serves their output, and scores
submissions. What a test may set or read is documented where it is defined: `StandIn` (server.py),
`Competition` and `Submission` (competitions.py), `Kernel` (kernels.py), `Session` (session.py).
`python -m kaggle_stand_in run build/<entry>` runs one built kernel.
"""

from kaggle_stand_in.server import StandIn

__all__ = ["StandIn"]
