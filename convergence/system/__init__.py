"""What every room leans on: errors, whole files, claims, hashes, options, progress, tables of text."""
