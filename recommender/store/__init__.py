"""What is known of people. The only room beside histories that knows a user."""
