"""What stands around the product: the local run, the emulator, the package, and the gateway."""
