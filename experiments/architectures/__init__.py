"""Grokking of the networks of two reports: Transformer, LSTM, multilayer perceptron."""
