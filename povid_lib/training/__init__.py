"""From pairs to an adapter: batch, log-probabilities, loss, trainer, recipe."""
