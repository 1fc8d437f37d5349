"""What a run is to do: its recipe, and the entries of kernels/."""
