"""The working side: admission of chunks, the learning cycle, the gate, the sweeper."""
