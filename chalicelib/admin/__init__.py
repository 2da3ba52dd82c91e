"""The operators' API: what stands where, in every facade, and what may be done about it."""
