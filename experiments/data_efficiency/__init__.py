"""How much data a Transformer needs, and what helps it: regularizers, optimizers, weight decay."""
