"""A second provider, different in everything from the first: it is here to show what the house knows of providers."""
