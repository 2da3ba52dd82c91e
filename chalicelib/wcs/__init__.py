"""REST hooks of a Flashphoner Web Call Server: it tells, we echo and remember its streams."""
