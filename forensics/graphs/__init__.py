"""What is done to a hop graph beside building it: parts of it, and what is known of its nodes from elsewhere."""
