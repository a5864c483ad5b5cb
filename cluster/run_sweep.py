r"""Run `stt-tune tune` on the Ray cluster that this job was submitted to; takes the same arguments.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python cluster/run_sweep.py configs/digits.yaml --data /shared/manifest.jsonl --out /shared/runs/digits \
        --model openai/whisper-small

`--out` must be an absolute path that every node sees, or a URL such as s3://bucket/runs/digits, and
`--data` an absolute path that the driver's node sees, or a URL: the job runs in a copy of the
working directory. The command waits for the sweep, prints its output and ends with a non-zero exit
code when it failed.
"""

import sys

from stt_tune.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["tune", "--address", "auto"]
    main()
