"""What `serving.py` compares the service with: each answers with the same model on the same box."""
