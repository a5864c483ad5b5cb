"""`python -m stt_tune` is `stt-tune`."""

from stt_tune.cli import main

main()
