"""The commands of `lure`, one module for each thing that they speak of."""
