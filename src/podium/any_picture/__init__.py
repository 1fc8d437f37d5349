"""Pictures from anywhere: found or fetched, told from what a run has learnt, and answered for."""
