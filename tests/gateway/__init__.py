"""The gateway on real sockets, with a stub in place of the product's handlers."""
