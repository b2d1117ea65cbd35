"""One file a command; each reads as the journey of its data. Nothing heavy is imported before it is needed."""
