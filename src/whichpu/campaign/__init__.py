"""The plan, the interleaved rounds, and the rule that stops them."""
