"""What `lure doctor` looks at, as far as it needs neither torch nor the API."""
