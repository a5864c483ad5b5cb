"""Sweep files in the style of W&B's own documentation: what is accepted, and what is refused and why."""

from __future__ import annotations

ACCEPTED = {
    "random": """
program: train.py
method: random
name: sweep-demo
description: the usual one
project: asr
entity: speech-team
metric:
  goal: minimize
  name: val_loss
parameters:
  batch_size:
    distribution: q_log_uniform_values
    q: 8
    min: 32
    max: 256
  dropout:
    values: [0.3, 0.4, 0.5]
  epochs:
    value: 1
  fc_layer_size:
    values: [128, 256, 512]
  learning_rate:
    distribution: uniform
    min: 0
    max: 0.1
  optimizer:
    values: ["adam", "sgd"]
""",
    "bayes with early termination": """
program: train.py
method: bayes
metric:
  name: val_loss
  goal: minimize
  target: 0.05
run_cap: 40
parameters:
  learning_rate:
    min: 0.0001
    max: 0.1
  optimizer:
    values: ["adam", "sgd"]
early_terminate:
  type: hyperband
  s: 2
  eta: 3
  max_iter: 27
""",
    "grid": """
method: grid
parameters:
  batch_size: {values: [8, 16]}
  layers: {min: 1, max: 3}
  warmup: {distribution: q_uniform, min: 0, max: 100, q: 50}
""",
    "nested": """
method: random
metric: {name: wer, goal: minimize}
parameters:
  optimizer:
    parameters:
      learning_rate: {values: [0.01, 0.001]}
      momentum: {value: 0.9}
  scheduler:
    parameters:
      warmup:
        parameters:
          ratio: {min: 0.0, max: 0.2}
""",
    "a command for the agent": """
program: train.py
method: random
command: ["${env}", "python3", "${program}", "${args}"]
parameters:
  lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}
""",
    "every optional section": """
apiVersion: v1
kind: sweep
method: bayes
metric: {name: accuracy, goal: maximize, impute: worst, impute_while_running: latest}
controller: {type: cloud}
job: team/project/job:latest
parameters:
  lr: {distribution: log_normal, mu: -9, sigma: 1}
  layers: {values: [1, 2, 4], probabilities: [0.5, 0.25, 0.25]}
  momentum: {distribution: beta, a: 2, b: 5}
early_terminate: {type: hyperband, min_iter: 3, eta: 2, strict: true}
""",
}

_PARAMETERS = "parameters: {lr: {min: 0.0, max: 1.0}}\n"
REFUSED = {
    "a local controller": (
        f"method: random\ncontroller: {{type: local}}\n{_PARAMETERS}",
        "controller: local controllers have no meaning here",
    ),
    "a custom scheduler": (
        f"method: custom\nscheduler: {{engine: optuna, source: search.py}}\n{_PARAMETERS}",
        "scheduler: custom schedulers run at W&B only",
    ),
    "several objectives": (
        f"method: random\nmetrics: [{{name: wer}}, {{name: seconds}}]\n{_PARAMETERS}",
        "metrics: more than one objective needs W&B's custom schedulers",
    ),
    "an unknown stopping rule": (
        f"method: random\nearly_terminate: {{type: envelope}}\n{_PARAMETERS}",
        "early_terminate.type: must be hyperband",
    ),
}
