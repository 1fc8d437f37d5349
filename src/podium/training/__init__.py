"""One-cycle, stages, callbacks, devices: how a network is fitted."""
