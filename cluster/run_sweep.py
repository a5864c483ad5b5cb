r"""Run `stt-tune tune` on the Ray cluster that this job was submitted to; takes the same arguments.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python cluster/run_sweep.py configs/digits.yaml --data /shared/manifest.jsonl --out /shared/runs/digits \
        --model openai/whisper-small

`--out` must be an absolute path that every node sees, or a URL such as s3://bucket/runs/digits, and
`--data` an absolute path that the driver's node sees, or a URL: the job runs in a copy of the
working directory. The command waits for the sweep, prints its output and ends with a non-zero exit
code when it failed.

What goes on with a run is given by its own name, `python cluster/run_sweep.py resume /shared/runs/digits`.
"""

import sys

from stt_tune.cli import main

_GO_ON = ("resume", "refine", "confirm", "export")  # they know from their run where to join

if __name__ == "__main__":
    if not sys.argv[1:] or sys.argv[1] not in _GO_ON:
        sys.argv[1:1] = ["tune", "--address", "auto"]
    main()
