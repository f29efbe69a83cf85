"""Whether the boundaries of skills are where behaviour changes: planted and recorded sequences."""
