"""What a run leaves: its folder, its folds, its table."""
