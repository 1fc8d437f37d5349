"""Speed, side by side: a script per question, each in a process of its own; see `__main__`."""
