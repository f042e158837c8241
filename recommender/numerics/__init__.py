"""Small arithmetic that many rooms share."""
