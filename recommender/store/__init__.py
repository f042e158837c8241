"""What is known of users, on disk: so far their feedback."""
