"""Model families behind one interface: features, batches, loss, greedy decoding, limits."""
