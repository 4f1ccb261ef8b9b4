"""What the processes must agree on: rows, blobs, states, events, settings and logs."""
