"""What people use in our place, each as its own documentation shows it; run by `make bench-chain`."""
