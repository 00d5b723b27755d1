"""Pictures for people: plots of assets, the way of the data, one attempt."""
