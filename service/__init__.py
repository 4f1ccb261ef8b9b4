"""The HTTP side: chunks come in, predictions go out."""
