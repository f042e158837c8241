"""The data of a recommender: items, histories, the tables and media they come from."""
