"""The functions behind the table of quirks, by the layer that they change."""
