import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as service and worker do; decision 0011
