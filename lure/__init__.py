"""What a person types: the Python client, the `lure` command and the embedded stack."""
