"""What the chain is worth: overload, outage and mixed load, beside its peers: `make bench-chain`."""
