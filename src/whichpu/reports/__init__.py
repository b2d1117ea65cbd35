"""From figures to what a person reads. Units are formatted here and nowhere else."""
