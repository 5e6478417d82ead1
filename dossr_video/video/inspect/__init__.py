"""What the content of a file is, and how it is to be processed."""
