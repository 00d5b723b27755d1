"""What is kept for training, and why. Pure: attempts and tasks in, rows and decisions out."""
