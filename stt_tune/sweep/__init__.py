"""What to try: W&B sweep files, distributions, search, early stopping."""
