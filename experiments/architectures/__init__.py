"""Grokking of the networks of S1 and S2: Transformer, LSTM, multilayer perceptron."""
