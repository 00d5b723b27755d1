"""Starting sampling and training as processes of their own, each with the GPUs that it declares."""
