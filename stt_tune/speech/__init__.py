"""One training: manifests, audio, features, error rates, models, fine-tuning."""
