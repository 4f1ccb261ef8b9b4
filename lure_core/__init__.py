"""The LURE algorithm on torch alone: learn, unlearn, relearn. Start reading at `lure_core.cycle`."""
