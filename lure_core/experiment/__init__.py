"""Experiments: the methods compared over seeds, budgets and label noise, chunk after chunk.

Run as `python -m lure_core.experiment`; needs torch, torchvision, numpy, safetensors and pillow;
draws plots where matplotlib is, and a progress bar where rich is.
"""
