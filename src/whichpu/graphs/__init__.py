"""The model read without running it: graph, cost, capability, partition, findings, remedies."""
