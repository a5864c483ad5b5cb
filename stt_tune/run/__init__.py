"""Trials on Ray: the sweep, W&B tracking, confirmation, the run folder."""
