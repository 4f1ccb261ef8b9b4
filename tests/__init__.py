import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as service and worker do; decision 0011
os.environ.setdefault("LURE_NICE", "0")  # tests wait for the workers, and others run beside them
