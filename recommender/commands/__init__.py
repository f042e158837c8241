"""The commands of the command line that have modules of their own, and what all of them share."""
