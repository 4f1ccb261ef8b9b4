"""The LURE algorithm on torch alone: learn, unlearn, relearn. Read `lure_core.cycle` first."""
