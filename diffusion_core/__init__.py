"""The mathematics of diffusion models as small, checked functions; no user interface in here."""
