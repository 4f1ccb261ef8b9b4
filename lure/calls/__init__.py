"""The client's calls, one module for each thing that they speak of; `lure.client` has them all."""
