"""The shapes of the HTTP contract: members may be added, none renamed."""
