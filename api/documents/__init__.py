"""Documents of the members, which they may share with every member."""
