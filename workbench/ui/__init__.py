"""The dashboard: thin pages that only show what the packages below have computed."""
