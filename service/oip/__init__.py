"""The Open Inference Protocol v2: tensors in, tensors out; its paths are in `service.api`.

Legend: N images, C channels, H height, W width, K classes.
"""
