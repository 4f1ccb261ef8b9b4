"""One cycle in several processes of this machine, which `torchrun` starts for a learn worker.

The worker keeps the claim, the heartbeat and the rows; its ranks know files and one socket, and end
with it. `running.run` tells the story; `python -m worker.ranks FOLDER` is one rank.
"""
