"""Ask W&B's own Bayesian engine for configurations, over a pipe: it needs a numpy that the tool cannot have.

Run by `unseen.py` with an interpreter of its own: python -m venv engine, engine/bin/pip install sweeps 'numpy<2'.
Reads a line of JSON a question (sweep, seed, runs, each with config and wer), and answers with a configuration.
"""

import json
import sys
import warnings


def main() -> None:
    """Answer until there are no more questions."""
    warnings.simplefilter("ignore")
    import numpy as np
    from sweeps.bayes_search import bayes_search_next_run
    from sweeps.run import RunState, SweepRun

    for line in sys.stdin:
        question = json.loads(line)
        np.random.seed(question["seed"])  # the engine draws from the global state
        runs = [
            SweepRun(
                config={name: {"value": value} for name, value in run["config"].items()},
                state=RunState.finished,
                summary_metrics={"wer": run["wer"]},
                history=[{"wer": run["wer"]}],
            )
            for run in question["runs"]
        ]
        answer = bayes_search_next_run(runs, question["sweep"])
        configuration = {name: each["value"] for name, each in answer.config.items()}
        print(json.dumps(configuration, default=lambda value: value.item()), flush=True)


if __name__ == "__main__":
    main()
